"""Export of Whisper checkpoints: encoder, decoder, decoder with past, and a decode step that needs no torch."""
