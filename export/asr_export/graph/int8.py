"""A float32 graph -> a graph that multiplies in 8 bits, for CPUs.

Each row of a product has its own scale, which the graph computes as it runs, so no item of a batch depends on another.
A convolution in time is a product too: its rows are the windows that the kernel sees. ONNX Runtime has no fast
convolution of integers (ConvInteger), and one scale for each channel of a recording would be all that it takes.
Figures: docs/decisions/0009-int8-scale-per-row.md, docs/decisions/0060-int8-convolutions-are-products.md.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from asr_export.errors import GateError
from asr_export.graph.reading import ONNX_RUNTIME
from asr_export.graph.rewriting import before_a_logarithm, float_constants, rebuild

# Operators of an int8 graph, besides those of a float32 one.
INT8_OPERATORS = frozenset(("MatMulIntegerToFloat", "QuantizeLinear", "ReduceMin"))
_ACTIVATION_STEPS = 127
_ZERO = 128  # of activations, which are uint8
# Weights have 7 bits: without VNNI, ONNX Runtime adds two products in 16 bits, which weights of 8 bits would overflow
# silently.
_WEIGHT_STEPS = 63
# Smaller than any activation that carries information: only padding and silence are all zero.
_SMALLEST = 1e-12
# A window of fewer values is cheaper in float32. So the convolution that hears the waveform stays as it is.
_SMALLEST_WINDOW = 32
_PRODUCT = "MatMulIntegerToFloat"
# These work on each value alone.
_ELEMENTWISE = frozenset(
    ("Add", "Cast", "Div", "Erf", "Gelu", "Identity", "Mul", "Neg", "Relu", "Sigmoid", "Sub", "Tanh")
)


def to_int8(model: onnx.ModelProto) -> int:
    """Quantise every product with a constant matrix and every convolution in time; return their number.

    Weights have one scale for each column (for each channel that a convolution makes). Activations have one for each
    row: a frame of an item, or the frames that a kernel sees at once. So no item depends on the scale of another, as it
    would with one scale for the whole batch (`DynamicQuantizeLinear`). Products of two activations, convolutions in
    groups or in two dimensions, and what leads to a logarithm stay float32.

    Raises:
        GateError: the graph has nothing to quantise.
    """
    constants = float_constants(model)
    spectral = before_a_logarithm(model)
    version = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    writer = _Writer(version)
    for index, node in enumerate(model.graph.node):
        weight = constants.get(node.input[1]) if node.op_type in ("Conv", "MatMul") and index not in spectral else None
        if weight is not None and node.op_type == "MatMul" and weight.ndim == 2:
            _multiply(writer, node, weight)
        elif weight is not None and (kernel := _kernel(node, weight)) is not None:
            _convolve(writer, node, weight, kernel)
        elif not writer.keep_turned(node, constants):
            writer.keep(node)
    for value in model.graph.output:
        writer.plain(value.name)
    products = sum(node.op_type == _PRODUCT for node in writer.nodes)
    if not products:
        raise GateError("int8 finds nothing to quantise: the graph has no product with a constant matrix")
    model.graph.initializer.extend(writer.weights.values())
    rebuild(model, writer.nodes)
    model.opset_import.append(helper.make_opsetid(ONNX_RUNTIME, 1))
    return products


@dataclass
class _Writer:
    """The nodes and weights of a graph that is being written; it makes no tensor twice.

    Products take frames last but one, `[n, frames, channels]`, and convolutions take them last. So between two
    convolutions, a tensor exists only turned, until a node needs it plain. ONNX Runtime turns whole graphs as well, but
    it then no longer finds the GELUs, and reduces the axis that is slow.
    """

    opset: int
    nodes: list[NodeProto] = field(default_factory=list)
    weights: dict[str, TensorProto] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    turned: dict[str, str] = field(default_factory=dict)  # `[n, channels, frames]` -> `[n, frames, channels]`
    only_turned: set[str] = field(default_factory=set)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Write a node, unless there is one with this output; return the output."""
        if output not in self.made:
            self.made.add(output)
            self.nodes.append(helper.make_node(operator, [self.plain(name) for name in inputs], [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any) -> str:
        """Write a constant, unless there is one of this name; return the name."""
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def keep(self, node: NodeProto) -> None:
        """Write a node as it was."""
        for name in node.input:
            self.plain(name)
        if node.op_type == "Transpose" and list(helper.get_node_attr_value(node, "perm")) == [0, 2, 1]:
            self.turned[node.output[0]] = node.input[0]
        self.nodes.append(node)

    def keep_turned(self, node: NodeProto, constants: dict[str, NDArray[Any]]) -> bool:
        """Write a node on turned tensors, if it has one and works on each value alone; return whether it did."""
        if node.op_type == "Transpose" and node.input[0] in self.only_turned:
            if list(helper.get_node_attr_value(node, "perm")) != [0, 2, 1]:
                return False
            self.nodes.append(helper.make_node("Identity", [self.turned[node.input[0]]], [node.output[0]]))
            return True
        values = [name for name in node.input if name not in constants or constants[name].size > 1]
        if node.op_type not in _ELEMENTWISE or not values or not all(name in self.turned for name in values):
            return False
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.turned.get(name, name) for name in node.input]
        copy.output[:] = [f"{node.output[0]}.turned"]
        self.nodes.append(copy)
        self.only_turn(node.output[0], copy.output[0])
        return True

    def only_turn(self, name: str, turned: str) -> None:
        """Let a tensor `[n, channels, frames]` exist as `[n, frames, channels]` alone."""
        self.turned[name] = turned
        self.only_turned.add(name)

    def plain(self, name: str) -> str:
        """Write a tensor that exists only turned; return its name."""
        if name in self.only_turned:
            self.only_turned.remove(name)
            self.nodes.append(helper.make_node("Transpose", [self.turned[name]], [name], perm=[0, 2, 1]))
        return name

    def frames(self, name: str) -> str:
        """Return `[n, frames, channels]` of a tensor `[n, channels, frames]`."""
        if name not in self.turned:
            self.turned[name] = self.add("Transpose", [name], f"{name}.turned", perm=[0, 2, 1])
        return self.turned[name]

    def reduce(self, operator: str, source: str, output: str, keepdims: int) -> str:
        """Reduce the last axis; from opset 18 on, axes are an input."""
        if self.opset >= 18:
            last = self.constant("int8.last", [-1], np.int64)
            return self.add(operator, [source, last], output, keepdims=keepdims)
        return self.add(operator, [source], output, keepdims=keepdims, axes=[-1])


@dataclass(frozen=True)
class _Kernel:
    """The way in which a convolution goes through time."""

    size: int  # frames
    stride: int  # frames
    before: int  # frames of zeros
    after: int  # frames of zeros


def _kernel(node: NodeProto, weight: NDArray[Any]) -> _Kernel | None:
    """Return the kernel of a convolution that is a product of windows; None if it is better left in float32."""
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if weight.ndim != 3 or weight[0].size < _SMALLEST_WINDOW:
        return None
    if attributes.get("group", 1) != 1 or attributes.get("dilations", [1]) != [1]:
        return None
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        return None
    before, after = attributes.get("pads", [0, 0])
    return _Kernel(weight.shape[2], attributes.get("strides", [1])[0], before, after)


def _multiply(writer: _Writer, node: NodeProto, matrix: NDArray[Any]) -> None:
    """Write `[…, k]` times `[k, m]` in 8 bits."""
    source, weight = node.input
    largest = _largest(writer, source)
    rows = _quantise(writer, source, largest, f"{source}.rows", len(matrix))
    _product(writer, rows, largest, (weight, matrix), node.output[0])


def _convolve(writer: _Writer, node: NodeProto, weight: NDArray[Any], kernel: _Kernel) -> None:
    """Write a convolution of `[n, channels, frames]` as a product of windows, `[n, windows, size * channels]`."""
    source, name, *bias = node.input
    output = node.output[0]
    channels = weight.shape[1]
    frames = writer.frames(source)
    if kernel.before or kernel.after:
        pads = writer.constant(f"{output}.pads", [0, kernel.before, 0, 0, kernel.after, 0], np.int64)
        frames = writer.add("Pad", [frames, pads], f"{output}.padded")
    of_frames = _largest(writer, frames, channels)
    largest = [_taken(writer, of_frames, kernel, tap, f"{output}.largest") for tap in range(kernel.size)]
    bound = writer.add("Max", largest, f"{output}.bound") if len(largest) > 1 else largest[0]
    taps = [
        _quantise(writer, _taken(writer, frames, kernel, tap, output), bound, f"{output}.tap{tap}", channels)
        for tap in range(kernel.size)
    ]
    rows = writer.add("Concat", taps, f"{output}.rows", axis=-1) if len(taps) > 1 else taps[0]
    # Rows of the matrix in the order of a window: tap by tap, and the channels of each.
    matrix = weight.transpose(2, 1, 0).reshape(kernel.size * channels, -1)
    product = _product(writer, rows, bound, (name, matrix), f"{output}.product")
    if bias:
        product = writer.add("Add", [product, bias[0]], f"{output}.biased")
    writer.only_turn(output, product)


def _taken(writer: _Writer, source: str, kernel: _Kernel, tap: int, name: str) -> str:
    """Return the frames of `[n, frames, channels]` that one tap of a kernel sees, `[n, windows, channels]`."""
    if kernel.size == kernel.stride == 1:
        return source
    behind = kernel.size - 1 - tap
    starts = writer.constant(f"int8.start{tap}", [tap], np.int64)
    ends = writer.constant(f"int8.end{behind}", [-behind if behind else np.iinfo(np.int64).max], np.int64)
    axis = writer.constant("int8.time", [1], np.int64)
    stride = writer.constant(f"int8.stride{kernel.stride}", [kernel.stride], np.int64)
    return writer.add("Slice", [source, starts, ends, axis, stride], f"{name}.taken{tap}")


def _largest(writer: _Writer, source: str, channels: int | None = None) -> str:
    """Return the largest magnitude of each row, float32 `[…, k]` -> `[…, 1]`.

    With `channels`, `source` is `[n, frames, channels]`, and may be a turned tensor: ONNX Runtime would reduce it before
    it turns it, which takes three times as long, but for an axis that the turned tensor does not have.
    """
    rows = source
    if channels is not None:
        shape = writer.constant(f"int8.rows{channels}", [0, -1, 1, channels], np.int64)
        rows = writer.add("Reshape", [source, shape], f"{source}.vectors")
    keepdims = int(channels is None)
    top = writer.reduce("ReduceMax", rows, f"{source}.top", keepdims)
    bottom = writer.add("Neg", [writer.reduce("ReduceMin", rows, f"{source}.bottom", keepdims)], f"{source}.depth")
    smallest = writer.constant("int8.smallest", _SMALLEST, np.float32)
    return writer.add("Max", [top, bottom, smallest], f"{source}.magnitude")


def _quantise(writer: _Writer, source: str, largest: str, name: str, width: int) -> str:
    """Return uint8 `[…, width]` of float32 `[…, width]`, whose rows reach `largest`, `[…, 1]`."""
    flat = writer.add("Reshape", [largest, writer.constant("int8.flat", [-1], np.int64)], f"{largest}.flat")
    steps = writer.constant("int8.steps", _ACTIVATION_STEPS, np.float32)
    step = writer.add("Div", [flat, steps], f"{largest}.step")
    zero = numpy_helper.from_array(np.array([_ZERO], np.uint8))
    zeros = writer.add("ConstantOfShape", [writer.add("Shape", [flat], f"{flat}.shape")], f"{largest}.zeros", value=zero)
    rows = writer.add("Reshape", [source, writer.constant(f"int8.{width}", [-1, width], np.int64)], f"{name}.float")
    quantised = writer.add("QuantizeLinear", [rows, step, zeros], f"{name}.flat", axis=0)
    return writer.add("Reshape", [quantised, writer.add("Shape", [source], f"{source}.shape")], name)


def _product(writer: _Writer, rows: str, largest: str, weight: tuple[str, NDArray[Any]], output: str) -> str:
    """Return float32 `[…, m]` of uint8 rows `[…, k]` that reach `[…, 1]`, and a float32 matrix `[k, m]` by name."""
    name, matrix = weight
    steps = np.maximum(np.abs(matrix).max(axis=0), np.float32(_SMALLEST)) / _WEIGHT_STEPS
    columns = writer.constant(f"{name}.steps", steps, np.float32)
    quantised = writer.constant(f"{name}.int8", np.rint(matrix / steps), np.int8)
    one = writer.constant("int8.one", 1, np.float32)
    zero = writer.constant("int8.zero", _ZERO, np.uint8)
    scaled = writer.add(_PRODUCT, [rows, quantised, one, columns, zero], f"{output}.columns", domain=ONNX_RUNTIME)
    per_step = writer.add(
        "Div", [writer.constant("int8.steps", _ACTIVATION_STEPS, np.float32), largest], f"{largest}.per_step"
    )
    # A division: ONNX Runtime does not see a GELU behind a multiplication.
    return writer.add("Div", [scaled, per_step], output)
