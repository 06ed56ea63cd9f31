"""The only code that uses Triton's Python API: requests, responses, and calls from one model to another."""
