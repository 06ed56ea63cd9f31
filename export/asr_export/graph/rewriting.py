"""What the rewrites of a float32 graph share: its constants, the nodes that they leave alone, and its new nodes."""

from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper


def float_constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return float32 weights and constants by name, also under the names that an Identity gives them."""
    found = {
        weight.name: numpy_helper.to_array(weight)
        for weight in model.graph.initializer
        if weight.data_type == TensorProto.FLOAT
    }
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = next((entry.t for entry in node.attribute if entry.name == "value"), None)
            if value is not None and value.data_type == TensorProto.FLOAT:
                found[node.output[0]] = numpy_helper.to_array(value)
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def before_a_logarithm(model: onnx.ModelProto) -> set[int]:
    """Return the indices of the nodes whose values go into a logarithm."""
    makers = {name: index for index, node in enumerate(model.graph.node) for name in node.output}
    reached: set[int] = set()
    waiting = [index for index, node in enumerate(model.graph.node) if node.op_type == "Log"]
    while waiting:
        index = waiting.pop()
        if index in reached:
            continue
        reached.add(index)
        node = model.graph.node[index]
        if node.op_type != "Shape":  # a Shape passes on no values
            waiting += [makers[name] for name in node.input if name in makers]
    return reached


def rebuild(model: onnx.ModelProto, nodes: list[NodeProto]) -> None:
    """Replace the nodes of a graph, and drop the weights and the shapes of the old ones."""
    used = {name for node in nodes for name in node.input}
    nodes = [node for node in nodes if node.op_type not in ("Constant", "Identity") or not used.isdisjoint(node.output)]
    used = {name for node in nodes for name in node.input}
    weights = [weight for weight in model.graph.initializer if weight.name in used]
    del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
