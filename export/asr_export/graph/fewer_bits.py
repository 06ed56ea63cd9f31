"""The precision of a ready graph, read from its operators and weights."""

from typing import Literal

import onnx
from onnx import TensorProto

from asr_export.graph.gate import EXACT, Tolerance
from asr_export.graph.precision import TOLERANCES
from asr_export.graph.reading import nodes, subgraphs

Bits = Literal["fp32", "fp16", "quantised"]
# The difference that a graph may have from its source in float32. The limits are those of the kit's own conversions.
LIMITS: dict[Bits, Tolerance] = {"fp32": EXACT, "fp16": TOLERANCES["fp16"], "quantised": TOLERANCES["int8"]}
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_QUANTISED = (
    *("ConvInteger", "DequantizeLinear", "DynamicQuantizeMatMul", "GatherBlockQuantized", "MatMulBnb4"),
    *("MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "QAttention", "QGemm"),
)
# They choose the scale of activations at run time, one for the whole tensor, and so for all items of a batch.
_ONE_SCALE = ("DynamicQuantizeLSTM", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "QAttention")


def bits(model: onnx.ModelProto) -> Bits:
    """Return the precision of a graph; a graph in 4 bits is quantised, also if the rest of it is float16."""
    kinds = {node.op_type for node in nodes(model.graph)}
    if kinds.intersection(_QUANTISED) or any(kind.startswith("QLinear") for kind in kinds):
        return "quantised"
    graphs = [model.graph, *(graph for node in nodes(model.graph) for graph in subgraphs(node))]
    return "fp16" if any(weight.data_type in _HALVES for graph in graphs for weight in graph.initializer) else "fp32"


def one_scale_operators(model: onnx.ModelProto) -> list[str]:
    """Return the operators by which one item of a batch changes the resolution of the others."""
    return sorted({node.op_type for node in nodes(model.graph)}.intersection(_ONE_SCALE))
