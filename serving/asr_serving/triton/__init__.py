"""The one room that knows Triton's Python API: requests, responses, and models that are asked from within a model."""
