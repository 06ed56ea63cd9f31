"""Changes of ready graphs: the branches of a merged decoder as graphs of their own, other types at the ends, less work.

All of them change a model in place.
"""

from collections.abc import Iterable
from typing import Any

import onnx
from onnx import TensorProto, helper

from asr_export.errors import GraphError
from asr_export.graph.reading import nodes, read_by, subgraphs

USE_CACHE = "use_cache_branch"


def take_branch(model: onnx.ModelProto, with_past: bool, name: str) -> None:
    """Turn a merged decoder into what it does for one value of `use_cache_branch`, without the `If`.

    Args:
        model: a decoder that optimum merged.
        with_past: True: the part for one more token; False: the part for a prompt.
        name: of the file, for messages.

    Raises:
        GraphError: there is not exactly one node that depends on `use_cache_branch`, or a branch does not make what it
            returns.
    """
    forks = [node for node in model.graph.node if node.op_type == "If" and list(node.input) == [USE_CACHE]]
    if len(forks) != 1:
        raise GraphError(
            f"{name} has {len(forks)} If of its input {USE_CACHE}; needs one, as optimum writes a merged decoder"
        )
    (fork,) = forks
    taken = next(entry.g for entry in fork.attribute if entry.name == ("then_branch" if with_past else "else_branch"))
    made = {output for node in taken.node for output in node.output} | {weight.name for weight in taken.initializer}
    broken = [value.name for value in taken.output if value.name not in made]
    if broken:
        raise GraphError(f"{name} is broken: a branch of its If returns {broken[0]}, which no node of it makes")
    _prefix(taken)
    ends = zip(taken.output, fork.output, strict=True)
    joints = [helper.make_node("Identity", [inner.name], [outer]) for inner, outer in ends]
    model.graph.initializer.extend(taken.initializer)
    flat = [inner for node in model.graph.node for inner in ([*taken.node, *joints] if node is fork else [node])]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in flat]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _prefix(graph: onnx.GraphProto) -> None:
    """Rename what a branch makes: outside, another tensor may have the same name."""
    made = {output for node in graph.node for output in node.output if output}
    made.update(weight.name for weight in graph.initializer)
    names = {name: f"branch/{name}" for name in made}
    for node in nodes(graph):
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    inner = [each for node in nodes(graph) for each in subgraphs(node)]
    for value in (*graph.initializer, *(value for each in (graph, *inner) for value in each.output)):
        value.name = names.get(value.name, value.name)


def keep_outputs(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Remove all other outputs, and the nodes, weights and inputs that only they need."""
    graph, wanted = model.graph, set(names)
    _keep(graph.output, [value.name in wanted for value in graph.output])
    needed = []
    for node in reversed(graph.node):
        needed.append(not wanted.isdisjoint(node.output))
        if needed[-1]:
            wanted.update(read_by(node))
    _keep(graph.node, needed[::-1])
    _keep(graph.input, [value.name in wanted for value in graph.input])
    _keep(graph.initializer, [weight.name in wanted for weight in graph.initializer])


def _keep(field: Any, flags: list[bool]) -> None:
    """Remove the entries of a protobuf field whose flag is False; weights of gigabytes are not copied."""
    for index in reversed(range(len(flags))):
        if not flags[index]:
            del field[index]


def cast_input(model: onnx.ModelProto, name: str, data_type: int) -> None:
    """Let an input have another type; the graph goes on with what it had."""
    (value,) = (value for value in model.graph.input if value.name == name)
    before = value.type.tensor_type.elem_type
    if before == data_type:
        return
    inner = f"{name}/as_it_came"
    for node in nodes(model.graph):
        node.input[:] = [inner if read == name else read for read in node.input]
    value.type.tensor_type.elem_type = data_type
    model.graph.node.insert(0, helper.make_node("Cast", [name], [inner], to=before))


def cast_output(model: onnx.ModelProto, name: str, data_type: int) -> None:
    """Let an output have another type."""
    (value,) = (value for value in model.graph.output if value.name == name)
    if value.type.tensor_type.elem_type == data_type:
        return
    inner = f"{name}/as_it_came"
    for node in nodes(model.graph):
        node.input[:] = [inner if read == name else read for read in node.input]
        node.output[:] = [inner if written == name else written for written in node.output]
    value.type.tensor_type.elem_type = data_type
    model.graph.node.append(helper.make_node("Cast", [inner], [name], to=data_type))


def count_positions(model: onnx.ModelProto, name: str, counted: str, axis: int, after: bool) -> None:
    """Compute the int64 input `name` in the graph: as many positions as `counted` has on `axis`, or the one after them.

    optimum has made decoders with such an input (`cache_position`) for some versions of transformers.
    """
    graph = model.graph
    left = [value for value in graph.input if value.name != name]
    del graph.input[:]
    graph.input.extend(left)
    numbers = {f"{name}/{word}": number for word, number in (("axis", axis), ("zero", 0), ("one", 1))}
    for word, number in numbers.items():
        graph.initializer.append(helper.make_tensor(word, TensorProto.INT64, [], [number]))
    graph.initializer.append(helper.make_tensor(f"{name}/first", TensorProto.INT64, [1], [0]))
    made = [
        helper.make_node("Shape", [counted], [f"{name}/shape"]),
        helper.make_node("Gather", [f"{name}/shape", f"{name}/axis"], [f"{name}/count"]),
    ]
    if after:
        made.append(helper.make_node("Unsqueeze", [f"{name}/count", f"{name}/first"], [name]))
    else:
        made.append(helper.make_node("Range", [f"{name}/zero", f"{name}/count", f"{name}/one"], [name]))
    for node in reversed(made):
        graph.node.insert(0, node)
