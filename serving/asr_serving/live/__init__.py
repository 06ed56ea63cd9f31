"""Transcription of live streams."""
