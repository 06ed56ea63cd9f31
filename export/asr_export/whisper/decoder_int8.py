"""The decoder of a Whisper in 8 bits, for CPUs."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from asr_export.errors import GateError
from asr_export.graph.int8 import to_int8
from asr_export.graph.rewriting import float_constants, rebuild


def decoder_to_int8(model: onnx.ModelProto) -> None:
    """Quantise a decoder of `asr_export.whisper.networks`, as `asr_export.graph.int8.to_int8` does.

    The embedding is the output layer, too, and stays once in the graph: int8 `[channels, vocab]`, with a step for each
    token. Logits are a product with it, and tokens are looked up among its columns.

    Raises:
        GateError: the graph has no output layer that is an embedding.
    """
    constants = float_constants(model)
    heads = [node for node in model.graph.node if node.op_type == "Gemm"]
    if len(heads) != 1 or heads[0].input[1] not in constants:
        raise GateError(f"int8 finds {len(heads)} output layers in the decoder; needs one, which is the embedding")
    embedding = heads[0].input[1]
    columns = f"{embedding}.columns"
    _product(model, heads[0], columns, constants[embedding])
    to_int8(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        is_look_up = node.op_type == "Gather" and node.input[0] == embedding
        nodes += _look_up(f"{columns}.int8", f"{columns}.steps", node) if is_look_up else [node]
    model.graph.initializer.extend(_AXES)
    rebuild(model, nodes)


def _product(model: onnx.ModelProto, head: NodeProto, columns: str, embedding: NDArray[Any]) -> None:
    """Write the output layer as a product with columns, which `to_int8` takes; its bias is zero."""
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(embedding.T), columns))
    product = helper.make_node("MatMul", [head.input[0], columns], list(head.output))
    rebuild(model, [product if node is head else node for node in model.graph.node])


_AXES = (numpy_helper.from_array(np.array([-1]), "look_up.last"),)


def _look_up(columns: str, steps: str, node: NodeProto) -> list[NodeProto]:
    """Return nodes that make float32 `[…, channels]` of the columns of tokens `[…]`."""
    tokens, output = node.input[1], node.output[0]
    return [
        helper.make_node("Gather", [columns, tokens], [f"{output}.turned"], axis=1),  # [channels, n, length]
        helper.make_node("Transpose", [f"{output}.turned"], [f"{output}.int8"], perm=[1, 2, 0]),
        helper.make_node("Cast", [f"{output}.int8"], [f"{output}.counts"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [steps, tokens], [f"{output}.step"]),
        helper.make_node("Unsqueeze", [f"{output}.step", "look_up.last"], [f"{output}.steps"]),
        helper.make_node("Mul", [f"{output}.counts", f"{output}.steps"], [output]),
    ]
