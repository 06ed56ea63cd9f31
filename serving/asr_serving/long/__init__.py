"""Transcription of recordings of any length, window by window."""
