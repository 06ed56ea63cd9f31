"""Ready ONNX graphs that somebody else made: looked at, tried out, wrapped."""
