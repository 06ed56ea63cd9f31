"""Triton ASR Kit: the command `triton-asr`."""
