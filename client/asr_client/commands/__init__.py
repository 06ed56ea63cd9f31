"""The commands `triton-asr transcribe`, `triton-asr stream` and `triton-asr evaluate`."""
