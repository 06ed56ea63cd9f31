"""A float32 graph -> a graph that multiplies in 8 bits, for CPUs.

Each row of a product has its own scale, which the graph computes as it runs, so no item of a batch depends on another.
A convolution in time becomes a product, whose rows are the windows that the kernel sees. Figures:
docs/decisions/0009-int8-scale-per-row.md, docs/decisions/0060-int8-convolutions-are-products.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from asr_export.errors import GateError
from asr_export.graph.reading import ONNX_RUNTIME
from asr_export.graph.rewriting import before_a_logarithm, float_constants, rebuild
from asr_export.graph.writing import Writer

# An operator of ONNX Runtime: MatMulInteger, and the scales of the columns. The operators of the standard for the same
# (MatMulInteger, Cast, Mul) go over the result twice more.
PRODUCT = "MatMulIntegerToFloat"
# The operators of an int8 graph, besides those of a float32 one.
INT8_OPERATORS = frozenset((PRODUCT, "QuantizeLinear", "ReduceMin"))
_ACTIVATION_STEPS = 127
_ZERO = 128  # of activations, which are uint8
# Weights have 7 bits: without VNNI, ONNX Runtime adds two products in 16 bits, which weights of 8 bits would overflow
# silently.
_WEIGHT_STEPS = 63
# Smaller than any activation that carries information: only padding and silence are all zero.
_SMALLEST = 1e-12
# Convolutions of fewer channels are as quick in float32: the demo checkpoint, with 32 and 64, loses 5 % in 8 bits.
_FEWEST_CHANNELS = 128


def to_int8(model: onnx.ModelProto, convolutions: bool = True) -> int:
    """Quantise every product with a constant matrix and, if asked, every convolution in time; return their number.

    Weights have one scale for each column: for each channel that a product or convolution makes. Activations have one
    for each row: a frame of an item, or the frames that a kernel sees at once. So no item depends on the scale of
    another, as it would with one scale for the whole batch (`DynamicQuantizeLinear`). Products of two activations,
    convolutions of few channels, in groups or in two dimensions, and what leads to a logarithm stay float32.

    Raises:
        GateError: the graph has nothing to quantise.
    """
    version = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    spectral = before_a_logarithm(model)
    writer = Writer(version, float_constants(model))
    for index, node in enumerate(model.graph.node):
        weight = writer.constants.get(node.input[1]) if node.op_type in ("Conv", "MatMul") else None
        if weight is None or index in spectral:
            writer.keep(node)
        elif node.op_type == "MatMul" and weight.ndim == 2:
            _multiply(writer, node, weight)
        elif convolutions and node.op_type == "Conv" and (kernel := _kernel(node, weight)) is not None:
            _convolve(writer, node, weight, kernel)
        else:
            writer.keep(node)
    for value in model.graph.output:
        writer.plain(value.name)
    products = sum(node.op_type == PRODUCT for node in writer.nodes)
    if not products:
        raise GateError("int8 finds nothing to quantise: the graph has no product with a constant matrix")
    model.graph.initializer.extend(writer.weights.values())
    rebuild(model, writer.nodes)
    model.opset_import.append(helper.make_opsetid(ONNX_RUNTIME, 1))
    return products


@dataclass(frozen=True)
class _Kernel:
    """The way in which a convolution goes through time."""

    size: int  # frames
    stride: int  # frames
    before: int  # frames of zeros
    after: int  # frames of zeros


def _kernel(node: NodeProto, weight: NDArray[Any]) -> _Kernel | None:
    """Return the kernel of a convolution that can be a product of windows; None for one that stays as it is."""
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    if weight.ndim != 3 or attributes.get("group", 1) != 1 or attributes.get("dilations", [1]) != [1]:
        return None
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or 1 < weight.shape[1] < _FEWEST_CHANNELS:
        return None
    before, after = attributes.get("pads", [0, 0])
    return _Kernel(weight.shape[2], attributes.get("strides", [1])[0], before, after)


def _multiply(writer: Writer, node: NodeProto, matrix: NDArray[Any]) -> None:
    """Write `[…, k]` times `[k, m]` in 8 bits."""
    source, weight = node.input
    largest = _largest(writer, source)
    rows = _quantise(writer, source, largest, f"{source}.rows", len(matrix))
    _product(writer, rows, largest, (weight, matrix), node.output[0])


def _convolve(writer: Writer, node: NodeProto, weight: NDArray[Any], kernel: _Kernel) -> None:
    """Write a convolution of `[n, channels, frames]` as a product of windows, `[n, windows, size * channels]`."""
    source, name, *bias = node.input
    output, channels = node.output[0], weight.shape[1]
    frames = writer.turned(source)
    if kernel.before or kernel.after:
        pads = writer.constant(f"{output}.pads", [0, kernel.before, 0, 0, kernel.after, 0], np.int64)
        frames = writer.add("Pad", [frames, pads], f"{output}.padded")
    # Rows of the matrix in the order of a window: tap by tap, and the channels of each.
    matrix = weight.transpose(2, 1, 0).reshape(kernel.size * channels, -1)
    taps = _taps(writer, frames, kernel, f"{output}.frames")
    if channels == 1:  # the waveform
        rows = writer.add("Concat", taps, f"{output}.rows", axis=-1)
        columns = writer.constant(f"{name}.matrix", matrix, np.float32)
        product = writer.add("MatMul", [rows, columns], f"{output}.product")
    else:
        of_taps = _taps(writer, _largest(writer, frames, channels), kernel, f"{output}.magnitude")
        largest = writer.add("Max", of_taps, f"{output}.largest")
        quantised = [_quantise(writer, tap, largest, f"{tap}.rows", channels) for tap in taps]
        rows = writer.add("Concat", quantised, f"{output}.rows", axis=-1)
        product = _product(writer, rows, largest, (name, matrix), f"{output}.product")
    if bias:
        product = writer.add("Add", [product, bias[0]], f"{output}.biased")
    writer.set_turned(output, product)


def _taps(writer: Writer, source: str, kernel: _Kernel, name: str) -> list[str]:
    """Return for each tap of a kernel the frames that it sees: of `[n, frames, k]`, one `[n, windows, k]` a tap."""
    if kernel.size == kernel.stride == 1:
        return [source]
    axis = writer.constant("int8.time", [1], np.int64)
    stride = writer.constant(f"int8.stride{kernel.stride}", [kernel.stride], np.int64)
    taps = []
    for tap in range(kernel.size):
        behind = kernel.size - 1 - tap
        start = writer.constant(f"int8.start{tap}", [tap], np.int64)
        end = writer.constant(f"int8.end{behind}", [-behind if behind else np.iinfo(np.int64).max], np.int64)
        taps.append(writer.add("Slice", [source, start, end, axis, stride], f"{name}{tap}"))
    return taps


def _largest(writer: Writer, source: str, channels: int | None = None) -> str:
    """Return the largest magnitude of each row, float32 `[…, k]` -> `[…, 1]`.

    With `channels`, `source` is `[n, frames, channels]`, and may come from a Transpose. ONNX Runtime would reduce
    before it transposes, which takes three times as long; a view with one more axis prevents it.
    """
    rows = source
    if channels is not None:
        shape = writer.constant(f"int8.vectors{channels}", [0, -1, 1, channels], np.int64)
        rows = writer.add("Reshape", [source, shape], f"{source}.vectors")
    keepdims = int(channels is None)
    top = writer.reduce("ReduceMax", rows, f"{source}.top", keepdims)
    bottom = writer.add("Neg", [writer.reduce("ReduceMin", rows, f"{source}.bottom", keepdims)], f"{source}.depth")
    return writer.add("Max", [top, bottom, writer.constant("int8.smallest", _SMALLEST, np.float32)], f"{source}.reach")


def _quantise(writer: Writer, source: str, largest: str, name: str, width: int) -> str:
    """Return uint8 `[…, width]` of float32 `[…, width]`, whose rows reach `largest`, `[…, 1]`."""
    flat = writer.add("Reshape", [largest, writer.constant("int8.flat", [-1], np.int64)], f"{largest}.flat")
    steps = writer.constant("int8.steps", _ACTIVATION_STEPS, np.float32)
    step = writer.add("Div", [flat, steps], f"{largest}.step")
    count = writer.add("Shape", [flat], f"{flat}.shape")
    zero = numpy_helper.from_array(np.array([_ZERO], np.uint8))
    zeros = writer.add("ConstantOfShape", [count], f"{largest}.zeros", value=zero)
    rows = writer.add("Reshape", [source, writer.constant(f"int8.{width}", [-1, width], np.int64)], f"{name}.float")
    quantised = writer.add("QuantizeLinear", [rows, step, zeros], f"{name}.flat", axis=0)
    return writer.add("Reshape", [quantised, writer.add("Shape", [source], f"{source}.shape")], name)


def _product(writer: Writer, rows: str, largest: str, weight: tuple[str, NDArray[Any]], output: str) -> str:
    """Return float32 `[…, m]` of uint8 rows `[…, k]` that reach `[…, 1]`, and a float32 matrix `[k, m]` by name."""
    name, matrix = weight
    steps = np.maximum(np.abs(matrix).max(axis=0), np.float32(_SMALLEST)) / _WEIGHT_STEPS
    columns = writer.constant(f"{name}.steps", steps, np.float32)
    quantised = writer.constant(f"{name}.int8", np.rint(matrix / steps), np.int8)
    one = writer.constant("int8.one", 1, np.float32)
    zero = writer.constant("int8.zero", _ZERO, np.uint8)
    scaled = writer.add(PRODUCT, [rows, quantised, one, columns, zero], f"{output}.columns", domain=ONNX_RUNTIME)
    activation_steps = writer.constant("int8.steps", _ACTIVATION_STEPS, np.float32)
    per_step = writer.add("Div", [activation_steps, largest], f"{largest}.per_step")
    # A division, because ONNX Runtime does not find a GELU behind a multiplication.
    return writer.add("Div", [scaled, per_step], output)
