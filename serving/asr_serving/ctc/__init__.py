"""CTC log-probs -> text, confidence, word times."""
