"""Whisper: features, decoding, the rules of its tokens."""
