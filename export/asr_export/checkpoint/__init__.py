"""A HuggingFace checkpoint, read and understood: model, processor, family, labels."""
