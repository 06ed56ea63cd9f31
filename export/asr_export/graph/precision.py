"""A float32 graph in fewer bits: fp16 for GPUs, int8 for CPUs.

Both rewrites are our own. onnxruntime's float16 converter converts everything that is not on a list of operators, also
the masks and the sums of our masked norms. Its dynamic quantisation takes one scale for a whole batch, so a neighbour
decides the resolution of an item. Figures: docs/decisions/0009-int8-scale-per-row.md.
"""

import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from asr_export.choices import Precision
from asr_export.errors import GateError
from asr_export.graph.feeds import Feed, ragged_feed
from asr_export.graph.gate import Parity, Probe, Tolerance, check_graph, check_parity, open_session
from asr_export.graph.int8 import INT8_OPERATORS, to_int8
from asr_export.graph.rewriting import before_a_logarithm, float_constants, rebuild
from asr_export.graph.tensorrt import TENSORRT_OPERATORS
from asr_export.graph.trace import save_graph
from asr_export.networks.acoustic import ProductsCtc, RaggedCtc

LARGEST_HALF = 65504.0
# The export reports the differences and does not limit them: which difference is harmless depends on how sure a
# checkpoint is. Over all kinds in docs/parity.md, the least agreement is 99.7 % of all frames in fp16 and 96 % in int8;
# of the decided frames it is 100 %.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp16": Tolerance(absolute=np.inf, relative=0, agreement=0.98, decided_agreement=0.995),
    "int8": Tolerance(absolute=np.inf, relative=0, agreement=0.9, decided_agreement=0.98),
}
# TensorRT has no product of integers: int8 is for CPUs.
OPERATORS: dict[Precision, frozenset[str]] = {
    "fp16": TENSORRT_OPERATORS,
    "int8": TENSORRT_OPERATORS | INT8_OPERATORS,
}
# These do most of the work, and run in float16.
_HEAVY = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
# These stay in float16 after a heavy operator, if no input is float32. Operator -> the inputs that hold its values; the
# other inputs are indices and conditions.
_ALL = slice(None)
_FIRST = slice(1)
_LIGHT = {
    **dict.fromkeys(("Add", "Concat", "Div", "Mul", "Sub"), _ALL),
    **dict.fromkeys(("Erf", "Expand", "Gelu", "Identity", "Neg", "Relu", "Sigmoid", "Tanh"), _FIRST),
    **dict.fromkeys(("Gather", "GatherElements", "Reshape", "Slice", "Split"), _FIRST),
    **dict.fromkeys(("Squeeze", "Transpose", "Unsqueeze"), _FIRST),
    "Where": slice(1, 3),
}


@dataclass(frozen=True)
class HalfPlan:
    """The part of a graph that runs in float16."""

    nodes: frozenset[int]  # indices into `graph.node`
    values: tuple[str, ...]  # tensors that become float16, without the constants
    # Inputs and outputs of the graph that become float16; the others keep their type.
    ends: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Peak:
    """The largest value that a tensor of float16 had to hold."""

    value: float
    tensor: str


@dataclass(frozen=True)
class Converted:
    """The result of a conversion."""

    parity: Parity  # of the converted graph
    fp16_peak: Peak | None = None  # of an fp16 graph; the largest float16 is 65504
    int8_convolutions: bool | None = None  # of an int8 graph: False if its convolutions had to stay float32


def ragged_graph(precision: Precision) -> type[RaggedCtc]:
    """Return the kind of ragged graph that is best to convert to a precision."""
    return ProductsCtc if precision == "int8" else RaggedCtc


def convert(path: Path, precision: Precision, probe: Probe, feed: Feed = ragged_feed) -> Converted:
    """Convert the float32 graph in `path` to another precision, and check the result.

    If int8 does not pass with quantised convolutions, they stay float32.

    Raises:
        GateError: the graph does not fit into the precision, or its best labels are not those of PyTorch.
    """
    if precision == "fp16":
        model = onnx.load(path)
        plan = plan_half(model)
        peak = find_peak(model, plan, [*probe.batches, *loud(probe)], feed)
        require_half_range(peak)
        to_half(model, plan)
        return Converted(_save_and_check(model, path, precision, probe, feed), fp16_peak=peak)
    with TemporaryDirectory(prefix="asr-export-") as work:
        kept = Path(shutil.copytree(path.parent, Path(work) / "fp32")) / path.name
        try:
            return Converted(_int8(kept, True, path, probe, feed), int8_convolutions=True)
        except GateError:  # some checkpoints have channels that are much larger than the others
            return Converted(_int8(kept, False, path, probe, feed), int8_convolutions=False)


def _int8(source: Path, convolutions: bool, path: Path, probe: Probe, feed: Feed) -> Parity:
    model = onnx.load(source)
    to_int8(model, convolutions)
    return _save_and_check(model, path, "int8", probe, feed)


def _save_and_check(model: onnx.ModelProto, path: Path, precision: Precision, probe: Probe, feed: Feed) -> Parity:
    save_graph(model, path)
    check_graph(path, OPERATORS[precision])
    try:
        return check_parity(path, probe, TOLERANCES[precision], feed)
    except GateError as error:
        raise GateError(f"in {precision} {error}; --precision fp32 stays within 1e-4") from error


def loud(probe: Probe) -> list[list[NDArray[np.float32]]]:
    """Return the probe's largest batch as loud as a recording can be: at full scale, clipped."""
    batch = max(probe.batches, key=len)
    return [[np.clip(30 * wave, -1, 1) for wave in batch]]


def plan_half(model: onnx.ModelProto, half_ends: Collection[str] = ()) -> HalfPlan:
    """Choose the nodes for float16: products and convolutions, and light operators on their results.

    The rest stays float32: normalisation and its sums, softmax, masks (their minimum would become minus infinity),
    residuals, positions, the normalisation of the waveform, and the nodes before a logarithm (mel spectra).

    Args:
        model: the graph.
        half_ends: names of its inputs and outputs that become float16, if they are between chosen nodes.

    Raises:
        GateError: float16 cannot hold a weight.
    """
    constants = float_constants(model)
    spectral = before_a_logarithm(model)
    ends = {value.name for value in model.graph.output}.difference(half_ends)
    nodes: set[int] = set()
    produced = {value.name for value in model.graph.input}.intersection(half_ends)
    values: dict[str, None] = {}  # an ordered set
    for index, node in enumerate(model.graph.node):
        if index in spectral or not ends.isdisjoint(node.output):
            continue
        inputs = _values(node)
        if node.op_type in _HEAVY:
            _require_half_weights(inputs, constants)
        elif not _passes_on(node, inputs, produced, constants):
            continue
        nodes.add(index)
        produced.update(node.output)
        values.update(dict.fromkeys(name for name in (*inputs, *node.output) if name not in constants))
    return HalfPlan(frozenset(nodes), tuple(values), frozenset(half_ends))


def to_half(model: onnx.ModelProto, plan: HalfPlan) -> None:
    """Convert the nodes of a plan to float16, with casts around them, and the ends that it names."""
    constants = float_constants(model)
    produced = {name for index in plan.nodes for name in model.graph.node[index].output} | plan.ends
    nodes: list[NodeProto] = []
    made: set[str] = set()

    def cast(name: str, to: int, suffix: str) -> str:
        changed = f"{name}.{suffix}"
        if changed not in made:
            made.add(changed)
            if name in constants:
                model.graph.initializer.append(numpy_helper.from_array(constants[name].astype(np.float16), changed))
            else:
                nodes.append(helper.make_node("Cast", [name], [changed], to=to))
        return changed

    for index, node in enumerate(model.graph.node):
        if index in plan.nodes:
            for name in _values(node):
                if name not in produced:
                    _replace_input(node, name, cast(name, TensorProto.FLOAT16, "half"))
        elif node.op_type != "Shape":
            for name in set(node.input) & produced:
                _replace_input(node, name, cast(name, TensorProto.FLOAT, "single"))
        nodes.append(node)
    for value in (*model.graph.input, *model.graph.output):
        if value.name in plan.ends:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    rebuild(model, nodes)


def find_peak(
    model: onnx.ModelProto, plan: HalfPlan, batches: Iterable[Sequence[NDArray[np.float32]]], feed: Feed
) -> Peak:
    """Run the float32 graph on batches of float32 waveforms `[samples]`; return the peak of the plan's values."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in plan.values:
        watched.graph.node.append(helper.make_node("Abs", [name], [f"{name}.abs"]))
        watched.graph.node.append(helper.make_node("ReduceMax", [f"{name}.abs"], [f"{name}.peak"], keepdims=0))
        watched.graph.output.append(helper.make_tensor_value_info(f"{name}.peak", TensorProto.FLOAT, []))
    with TemporaryDirectory(prefix="asr-export-") as work:
        path = Path(work) / "watched.onnx"
        save_graph(watched, path)
        session = open_session(path)
    peaks = np.zeros(len(plan.values))
    for batch in batches:
        found = session.run([f"{name}.peak" for name in plan.values], feed(batch))
        peaks = np.maximum(peaks, np.array(found, np.float64))  # NaN stays NaN
    worst = int(np.argmax(np.where(np.isnan(peaks), np.inf, peaks)))
    return Peak(float(peaks[worst]), plan.values[worst])


def require_half_range(peak: Peak) -> None:
    """Refuse a peak that float16 cannot hold.

    Raises:
        GateError: the peak is too large; the message says the value and the tensor.
    """
    if not peak.value <= LARGEST_HALF:
        raise GateError(
            f"fp16 overflows: the tensor {peak.tensor} reaches {peak.value:.3g}, and float16 ends at {LARGEST_HALF:g}. "
            "Export this checkpoint with --precision fp32"
        )


def _passes_on(node: NodeProto, inputs: list[str], produced: set[str], constants: dict[str, NDArray[Any]]) -> bool:
    if node.op_type not in _LIGHT or produced.isdisjoint(inputs):
        return False
    if node.op_type == "Mul" and len(set(inputs)) == 1:
        return False  # a square would overflow for half of the exponents
    others = [name for name in inputs if name not in produced]
    return all(name in constants and np.abs(constants[name]).max(initial=0) <= LARGEST_HALF for name in others)


def _values(node: NodeProto) -> list[str]:
    return [name for name in list(node.input)[_LIGHT.get(node.op_type, _ALL)] if name]


def _require_half_weights(names: list[str], constants: dict[str, NDArray[Any]]) -> None:
    for name in names:
        largest = float(np.abs(constants[name]).max(initial=0)) if name in constants else 0.0
        if largest > LARGEST_HALF:
            raise GateError(
                f"fp16 overflows: the weight {name} holds {largest:.3g}, and float16 ends at {LARGEST_HALF:g}. Export "
                "this checkpoint with --precision fp32"
            )


def _replace_input(node: NodeProto, old: str, new: str) -> None:
    for position, name in enumerate(node.input):
        if name == old:
            node.input[position] = new
