"""The Triton repository that an export writes."""
