"""Constant folding: nodes that depend only on constants become constants.

Otherwise TensorRT computes them at each build, or fails on them.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import numpy_helper

from asr_export.graph.trace import save_graph


def foldable(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that depend only on constants, in the graph's order."""
    constant = {weight.name for weight in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type == "Constant":
            constant.update(node.output)
        elif node.input and all(not name or name in constant for name in node.input):
            constant.update(node.output)
            found.append(node)
    return found


def fold_constants(path: Path) -> None:
    """Replace the foldable nodes of a file by constants, and drop the constants and weights that are then unused."""
    model = onnx.load(path)
    _skip_identities(model.graph)
    _compute(model)
    _drop_unused(model.graph)
    save_graph(model, path)


def _skip_identities(graph: onnx.GraphProto) -> None:
    """Make the nodes read a shared weight directly: the tracer shares equal weights through Identity nodes."""
    outputs = {value.name for value in graph.output}
    source: dict[str, str] = {}
    for node in foldable(graph):
        if node.op_type == "Identity" and node.output[0] not in outputs:
            source[node.output[0]] = source.get(node.input[0], node.input[0])
    _keep(graph.node, lambda node: node.output[0] not in source)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = source.get(name, name)


def _compute(model: onnx.ModelProto) -> None:
    """Run all nodes that depend only on constants in one ONNX Runtime session, and store their results."""
    graph = model.graph
    made = {name for node in foldable(graph) for name in node.output if name}
    if not made:
        return
    outside = [node for node in graph.node if node.output[0] not in made]
    results = sorted(made & (_names_read(outside) | {value.name for value in graph.output}))
    read = _names_read(node for node in graph.node if node.output[0] in made)
    part = onnx.helper.make_graph(
        [node for node in graph.node if node.output[0] in made | read],
        "constants",
        [],
        [onnx.helper.make_empty_tensor_value_info(name) for name in results],
        [weight for weight in graph.initializer if weight.name in read],
    )
    runnable = onnx.helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = onnxruntime.InferenceSession(runnable.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, value in zip(results, session.run(results, {}), strict=True):
        graph.initializer.append(numpy_helper.from_array(value, name))
    _keep(graph.node, lambda node: node.output[0] not in made)


def _drop_unused(graph: onnx.GraphProto) -> None:
    read = _names_read(graph.node) | {value.name for value in graph.output}
    _keep(graph.node, lambda node: node.op_type != "Constant" or node.output[0] in read)
    _keep(graph.initializer, lambda weight: weight.name in read)


def _names_read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.input}


def _keep(items: Any, wanted: Callable[[Any], bool]) -> None:
    for index in reversed(range(len(items))):
        if not wanted(items[index]):
            del items[index]
