"""Other precisions of a graph, made by ONNX Runtime's own tools, as the variants on the hub are."""

import logging
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16


def quantise(graph: Path) -> Path:
    """Write the products of a graph in 8 bits beside it: `…_quantized.onnx`.

    Weights have no sign, because sums of products with signed ones saturate on processors without VNNI.
    """
    path = graph.with_name(f"{graph.stem}_quantized.onnx")
    logging.disable(logging.WARNING)  # it advises a preprocessing that optimum does not do
    options = {"EnableSubgraph": True}
    quantize_dynamic(graph, path, op_types_to_quantize=["MatMul"], weight_type=QuantType.QUInt8, extra_options=options)
    logging.disable(logging.NOTSET)
    return path


def halve(graph: Path, keep_ends: bool = False) -> Path:
    """Write a graph in float16 beside it: `…_fp16.onnx`; inputs and outputs too, unless `keep_ends`."""
    path = graph.with_name(f"{graph.stem}_fp16.onnx")
    model = convert_float_to_float16(onnx.load(graph), keep_io_types=keep_ends, disable_shape_infer=True)
    onnx.save(model, path)
    return path
