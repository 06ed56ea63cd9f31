"""From a network to a checked ONNX graph: trace, fold, gate, precision, TensorRT."""
