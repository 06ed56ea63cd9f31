"""The commands `triton-asr transcribe`, `triton-asr stream`, `triton-asr evaluate` and `triton-asr models`."""
