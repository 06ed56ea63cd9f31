"""A ready ONNX file: read, checked, and brought to an opset and an IR version that Triton 24.10 takes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
import onnx.version_converter
from google.protobuf.message import DecodeError
from onnx.external_data_helper import uses_external_data

from asr_export.errors import GraphError
from asr_export.graph.trace import MAX_IR_VERSION, MAX_OPSET

# The oldest opset in which the kit's own parts can be written, and from which ONNX's own converter works well.
MIN_OPSET = 13
_STANDARD_DOMAINS = ("", "ai.onnx")
# Operators of ONNX Runtime itself: products with weights of 4 bits, fused attention.
ONNX_RUNTIME = "com.microsoft"
# The checker stops here. ONNX Runtime takes such graphs, and its own conversion to float16 makes them.
_UNSORTED = "must be topologically sorted"


def read_model(path: Path, domains: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Read a graph without the weights in files beside it.

    Args:
        path: an ONNX file.
        domains: of the operators that are accepted besides those of the ONNX standard.

    Raises:
        GraphError: the file is no graph, lacks a file of weights, has operators of another domain, or exceeds the
            limits of Triton.
    """
    if not path.is_file():
        raise GraphError(f"there is no file {path}")
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise GraphError(f"cannot read {path} as an ONNX graph: {error}") from error
    if not model.graph.node:
        raise GraphError(f"{path} holds no ONNX graph")
    for file in data_files(model, path):
        if not file.is_file():
            raise GraphError(f"{path} keeps its weights in {file.name}, which is not beside it")
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        # A name that nothing makes has the same message.
        if _UNSORTED not in str(error) or not _is_whole(model.graph):
            raise GraphError(f"the ONNX checker refuses {path}: {one_line(error)}") from error
        _sort(model.graph)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    foreign = sorted({node.domain for node in nodes(model.graph)} - {*_STANDARD_DOMAINS, *domains})
    if foreign:
        operators = sorted({f"{node.domain}.{node.op_type}" for node in nodes(model.graph) if node.domain in foreign})
        raise GraphError(
            f"{path} has operators outside the ONNX standard: {', '.join(operators)}; needs a graph without them "
            "(export it anew without the optimisation or quantisation that brought them)"
        )
    return _within_limits(model, path)


def _is_whole(graph: Any) -> bool:
    """Return whether something makes every tensor that a node reads."""
    made = {"", *(output for node in graph.node for output in node.output)}
    made.update(value.name for value in (*graph.input, *graph.initializer))
    return all(made.issuperset(node.input) for node in graph.node)


def _sort(graph: Any) -> None:
    """Put the nodes of a graph into an order in which each comes after those whose outputs it reads."""
    pending = {output for node in graph.node for output in node.output if output}
    left, ordered = list(graph.node), []
    while left:
        waiting = []
        for node in left:
            if pending.isdisjoint(read_by(node)):
                ordered.append(node)
                pending.difference_update(node.output)
            else:
                waiting.append(node)
        if len(waiting) == len(left):
            break  # a circle, which the checker reports later
        left = waiting
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered + left]
    for node in copies:
        for inner in subgraphs(node):
            _sort(inner)
    del graph.node[:]
    graph.node.extend(copies)


def standard_opset(model: onnx.ModelProto) -> int:
    """Return the version of the ONNX standard's operators."""
    return max(entry.version for entry in model.opset_import if entry.domain in _STANDARD_DOMAINS)


def _within_limits(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """Convert a graph to an opset and an IR version that Triton 24.10 takes, by ONNX's own converter."""
    opset = standard_opset(model)
    target = min(max(opset, MIN_OPSET), MAX_OPSET)
    others = {node.domain for node in nodes(model.graph)} - set(_STANDARD_DOMAINS)
    kept = [entry for entry in model.opset_import if entry.domain in others]
    if target != opset:
        try:
            model = onnx.version_converter.convert_version(model, target)
        except (RuntimeError, ValueError) as error:
            raise GraphError(
                f"{path} has opset {opset}, which ONNX cannot convert to {target}: {one_line(error)}; "
                f"needs opset {MIN_OPSET} to {MAX_OPSET} (what Triton 24.10 takes)"
            ) from error
    del model.opset_import[:]
    model.opset_import.extend([onnx.helper.make_opsetid("", target), *kept])
    model.ir_version = min(model.ir_version, MAX_IR_VERSION)  # the checker reports later if the graph needs a newer one
    # The recorded shapes of inner tensors are those of the graph as it came; they need not hold after a change.
    del model.graph.value_info[:]
    return model


def nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of the graphs inside its nodes (branches, loops)."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from nodes(inner)


def subgraphs(node: Any) -> list[Any]:
    """Return the graphs inside a node (branches, loops)."""
    found: list[Any] = []
    for attribute in node.attribute:
        inner: Iterable[Any] = [attribute.g, *attribute.graphs]
        found += [graph for graph in inner if graph.node]
    return found


def read_by(node: Any) -> set[str]:
    """Return the names of the tensors that a node reads, also inside its branches."""
    inner = (name for graph in subgraphs(node) for each in nodes(graph) for name in each.input)
    ends = (value.name for graph in subgraphs(node) for value in graph.output)
    return {*node.input, *inner, *ends}


def data_files(model: onnx.ModelProto, path: Path) -> list[Path]:
    """Return the files beside a graph that hold its weights.

    Raises:
        GraphError: they are not in the folder of the graph.
    """
    graphs = [model.graph, *(graph for node in nodes(model.graph) for graph in subgraphs(node))]
    locations = {
        entry.value
        for graph in graphs
        for weight in graph.initializer
        if uses_external_data(weight)
        for entry in weight.external_data
        if entry.key == "location"
    }
    for location in locations:
        if Path(location).name != location:
            raise GraphError(f"{path} keeps its weights in {location}; needs them in files beside it")
    return [path.parent / location for location in sorted(locations)]


def one_line(error: Exception) -> str:
    """Return the text of an error without line breaks."""
    return " ".join(str(error).split())
