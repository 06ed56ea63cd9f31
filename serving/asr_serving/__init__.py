"""The code that Triton's Python models run. The adapters in `model_repository` import it; an export includes a copy."""
