"""Export of Whisper checkpoints: encoder, decoder and decoder with past, and a decode step that needs no torch."""
