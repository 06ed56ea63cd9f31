"""The decoder of a Whisper in 8 bits, for CPUs.

A step has one row for each recording, so it costs what the weights cost to read, and what its many nodes cost to start:
`asr_export.graph.precision.to_int8`, which takes more nodes to save passes over long tensors, would take 1.7 times as
long. As there, each row of activations has a scale of its own, so no recording depends on its neighbours.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from asr_export.errors import GateError
from asr_export.graph.eight_bits import ACTIVATION_STEPS, SMALLEST, ZERO, quantise_weights
from asr_export.graph.reading import ONNX_RUNTIME
from asr_export.graph.rewriting import float_constants, rebuild

# An operator of ONNX Runtime: MatMulInteger, and the scales of the columns.
_PRODUCT = "MatMulIntegerToFloat"


@dataclass
class _Writer:
    """The nodes and weights of the new graph; it makes no tensor twice."""

    nodes: list[NodeProto] = field(default_factory=list)
    weights: dict[str, TensorProto] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Write a node, unless there is one with this output; return the output."""
        if output not in self._made:
            self._made.add(output)
            self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any) -> str:
        """Write a constant, unless there is one of this name; return the name."""
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name


def decoder_to_int8(model: onnx.ModelProto) -> None:
    """Quantise a decoder of `asr_export.whisper.networks`: every product with a constant matrix, and the embedding.

    The embedding stays once in the graph, int8 `[vocab, channels]` with a step for each row: tokens are looked up in
    it, and logits are products with it.

    Raises:
        GateError: the graph has no embedding that is the output layer, too.
    """
    constants = float_constants(model)
    heads = [node.input[1] for node in model.graph.node if node.op_type == "Gemm"]
    if len(heads) != 1 or heads[0] not in constants:
        raise GateError(f"int8 finds {len(heads)} output layers in the decoder; needs one, which is the embedding")
    embedding = heads[0]
    writer = _Writer()
    for node in model.graph.node:
        matrix = constants.get(node.input[1]) if node.op_type in ("Gemm", "MatMul") else None
        if node.op_type == "Gather" and node.input[0] == embedding:
            _look_up(writer, node, constants[embedding])
        elif matrix is None or matrix.ndim != 2:
            writer.nodes.append(node)
        elif node.op_type == "Gemm":
            values, steps = _embedding(writer, embedding, matrix)
            columns = writer.add("Transpose", [values], f"{embedding}.columns", perm=[1, 0])
            flat = writer.constant("int8.flat", [-1], np.int64)
            _multiply(writer, node, columns, writer.add("Reshape", [steps, flat], f"{embedding}.of_columns"))
        else:
            weight = node.input[1]
            values_of, steps_of = quantise_weights(matrix, axis=0)
            columns = writer.constant(f"{weight}.int8", values_of, np.int8)
            _multiply(writer, node, columns, writer.constant(f"{weight}.steps", steps_of, np.float32))
    model.graph.initializer.extend(writer.weights.values())
    rebuild(model, writer.nodes)
    model.opset_import.append(helper.make_opsetid(ONNX_RUNTIME, 1))


def _embedding(writer: _Writer, name: str, matrix: NDArray[Any]) -> tuple[str, str]:
    """Return the embedding, int8 `[vocab, channels]`, and its steps, float32 `[vocab, 1]`."""
    values, steps = quantise_weights(matrix, axis=1)
    return (
        writer.constant(f"{name}.int8", values, np.int8),
        writer.constant(f"{name}.steps", steps[:, None], np.float32),
    )


def _look_up(writer: _Writer, node: NodeProto, matrix: NDArray[Any]) -> None:
    name, tokens, output = node.input[0], node.input[1], node.output[0]
    values, steps = _embedding(writer, name, matrix)
    rows = writer.add("Gather", [values, tokens], f"{output}.int8")
    counts = writer.add("Cast", [rows], f"{output}.counts", to=TensorProto.FLOAT)
    writer.add("Mul", [counts, writer.add("Gather", [steps, tokens], f"{output}.steps")], output)


def _multiply(writer: _Writer, node: NodeProto, columns: str, steps: str) -> None:
    """Write a product of `[…, k]` and int8 columns `[k, m]` with a step each, float32 `[m]`."""
    rows, per_step = _quantise_rows(writer, node.input[0])
    output = node.output[0]
    one, zero = writer.constant("int8.one", 1, np.float32), writer.constant("int8.zero", ZERO, np.uint8)
    scaled = writer.add(_PRODUCT, [rows, columns, one, steps, zero], f"{output}.scaled", domain=ONNX_RUNTIME)
    # A division, because ONNX Runtime does not find a GELU behind a multiplication.
    writer.add("Div", [scaled, per_step], output)


def _quantise_rows(writer: _Writer, name: str) -> tuple[str, str]:
    """Return uint8 `[…, k]` of float32 `[…, k]`, and the steps per unit of each row, float32 `[…, 1]`."""
    largest = writer.add("ReduceMax", [writer.add("Abs", [name], f"{name}.abs")], f"{name}.max", axes=[-1], keepdims=1)
    bound = writer.add("Max", [largest, writer.constant("int8.smallest", SMALLEST, np.float32)], f"{name}.bound")
    steps = writer.constant("int8.steps", ACTIVATION_STEPS, np.float32)
    per_step = writer.add("Div", [steps, bound], f"{name}.per_step")
    one, zero = writer.constant("int8.one", 1, np.float32), writer.constant("int8.zero", ZERO, np.uint8)
    rows = writer.add("Mul", [name, per_step], f"{name}.counts")
    return writer.add("QuantizeLinear", [rows, one, zero], f"{name}.rows"), per_step
