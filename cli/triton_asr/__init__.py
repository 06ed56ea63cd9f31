"""Triton ASR Kit."""
