"""From CTC log-probs to text, confidence and word times."""
