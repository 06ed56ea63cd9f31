"""Transcription with Whisper: features, decoding, and the rules of its tokens."""
