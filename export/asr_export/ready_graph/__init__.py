"""Export of ready ONNX graphs that somebody else made: reading, running and wrapping them."""
