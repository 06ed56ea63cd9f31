"""A graph that is being rewritten: its new nodes and weights, and tensors that exist with their axes turned."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

_TURN = [0, 2, 1]
# These work on each value alone.
_ELEMENTWISE = frozenset(
    ("Add", "Cast", "Div", "Erf", "Gelu", "Identity", "Mul", "Neg", "Relu", "Sigmoid", "Sub", "Tanh")
)


@dataclass
class Writer:
    """The nodes and weights of a graph that is being written; it makes no tensor twice.

    Products take frames before channels, `[n, frames, channels]`, and convolutions after them. So a tensor between two
    convolutions that became products exists only turned, until a node needs it plain. ONNX Runtime moves transposes as
    well, but to places where they cost more.
    """

    opset: int
    constants: dict[str, NDArray[Any]]  # float32 constants of the graph as it was
    nodes: list[NodeProto] = field(default_factory=list)
    weights: dict[str, TensorProto] = field(default_factory=dict)
    _made: set[str] = field(default_factory=set)
    _turned: dict[str, str] = field(default_factory=dict)  # `[n, channels, frames]` -> `[n, frames, channels]`
    _only_turned: set[str] = field(default_factory=set)

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Write a node, unless there is one with this output; return the output."""
        if output not in self._made:
            self._made.add(output)
            self.nodes.append(helper.make_node(operator, [self.plain(name) for name in inputs], [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any) -> str:
        """Write a constant, unless there is one of this name; return the name."""
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.asarray(value, dtype), name)
        return name

    def keep(self, node: NodeProto) -> None:
        """Write a node of the graph as it was, on turned tensors where it can work on them."""
        if _turns(node):
            source, target = node.input[0], node.output[0]
            if source in self._only_turned:
                self.nodes.append(helper.make_node("Identity", [self._turned[source]], [target]))
            else:
                self.set_turned(target, source)
        elif self._works_turned(node):
            copy = NodeProto()
            copy.CopyFrom(node)
            copy.input[:] = [self._turned.get(name, name) for name in node.input]
            copy.output[:] = [f"{node.output[0]}.turned"]
            self.nodes.append(copy)
            self.set_turned(node.output[0], copy.output[0])
        else:
            for name in node.input:
                self.plain(name)
            self.nodes.append(node)

    def set_turned(self, name: str, turned: str) -> None:
        """Let a tensor `[n, channels, frames]` exist as `[n, frames, channels]` alone."""
        self._turned[name] = turned
        self._only_turned.add(name)

    def turned(self, name: str) -> str:
        """Return `[n, frames, channels]` of a tensor `[n, channels, frames]`."""
        if name not in self._turned:
            self._turned[name] = self.add("Transpose", [name], f"{name}.turned", perm=_TURN)
        return self._turned[name]

    def plain(self, name: str) -> str:
        """Write a tensor that exists only turned; return its name."""
        if name in self._only_turned:
            self._only_turned.remove(name)
            self.nodes.append(helper.make_node("Transpose", [self._turned[name]], [name], perm=_TURN))
        return name

    def reduce(self, operator: str, source: str, output: str, keepdims: int) -> str:
        """Reduce the last axis; from opset 18 on, axes are an input."""
        if self.opset >= 18:
            last = self.constant("last.axis", [-1], np.int64)
            return self.add(operator, [source, last], output, keepdims=keepdims)
        return self.add(operator, [source], output, keepdims=keepdims, axes=[-1])

    def _works_turned(self, node: NodeProto) -> bool:
        if node.op_type not in _ELEMENTWISE:
            return False
        values = [name for name in node.input if name not in self.constants or self.constants[name].size > 1]
        return not self._only_turned.isdisjoint(values) and all(name in self._turned for name in values)


def _turns(node: NodeProto) -> bool:
    return node.op_type == "Transpose" and list(helper.get_node_attr_value(node, "perm")) == _TURN
