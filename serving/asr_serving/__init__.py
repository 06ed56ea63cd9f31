"""What Triton's Python models run. The adapters in `model_repository` import it; an export copies it beside each."""
