"""Ways to get a transcript from the same checkpoint, one file for each."""
