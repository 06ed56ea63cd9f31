"""`triton-asr transcribe` and `triton-asr evaluate`."""
