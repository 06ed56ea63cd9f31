"""Attention as one operator of ONNX Runtime, in place of two products and a softmax.

The three of them write the weights of attention to memory, and read them again: 54 MB in each layer of the smallest
Whisper. `MultiHeadAttention` works in blocks that stay in a processor's cache, as FlashAttention does it (Dao et al.
2022).
"""

from collections import defaultdict
from dataclasses import dataclass

import onnx
from onnx import NodeProto, helper

from asr_export.graph.reading import ONNX_RUNTIME
from asr_export.graph.rewriting import float_constants, rebuild

OPERATOR = "MultiHeadAttention"
_BY_HEAD, _KEYS_BY_HEAD = [0, 2, 1, 3], [0, 2, 3, 1]  # of [n, length, heads, size]


def fuse_attention(model: onnx.ModelProto, heads: int) -> int:
    """Replace attention without a mask, of so many heads, in a graph of float32.

    Args:
        model: changed in place. Its queries, keys and values are `[n, length, channels]` before they are divided by
            head, and so is the result.
        heads: of each attention.

    Returns:
        How many were replaced.
    """
    graph = _Graph(model)
    fused = [attention for node in model.graph.node if (attention := graph.attention(node)) is not None]
    if not fused:
        return 0
    new = {
        attention.output: helper.make_node(
            OPERATOR,
            attention.inputs,
            [attention.output],
            name=f"{attention.output}.fused",
            domain=ONNX_RUNTIME,
            num_heads=heads,
            scale=attention.scale,
        )
        for attention in fused
    }
    nodes = [new.get(node.output[0], node) for node in model.graph.node]
    rebuild(model, _needed(nodes, {output.name for output in model.graph.output}))
    if all(entry.domain != ONNX_RUNTIME for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid(ONNX_RUNTIME, 1))
    return len(fused)


@dataclass(frozen=True)
class _Attention:
    inputs: list[str]  # queries, keys, values
    scale: float  # of the products of queries and keys
    output: str


class _Graph:
    """Who makes a value, and who takes it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._constants = float_constants(model)
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._takers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self._takers[name].append(node)
        self._outputs = {output.name for output in model.graph.output}

    def attention(self, softmax: NodeProto) -> _Attention | None:
        """Return the attention of which a node is the softmax; None if it is something else."""
        if softmax.op_type != "Softmax" or helper.get_node_attr_value(softmax, "axis") not in (-1, 3):
            return None
        scores, scale = self._scaled(softmax.input[0])
        product = self._maker(scores, "MatMul")
        mixing = self._taker(softmax.output[0], "MatMul")
        if product is None or mixing is None:
            return None
        inputs = [
            self._undivided(product.input[0], _BY_HEAD),
            self._undivided(product.input[1], _KEYS_BY_HEAD),
            self._undivided(mixing.input[1], _BY_HEAD),
        ]
        together = self._taker(mixing.output[0], "Transpose")
        if together is None or helper.get_node_attr_value(together, "perm") != _BY_HEAD:
            return None
        result = self._taker(together.output[0], "Reshape")
        found = [name for name in inputs if name is not None]
        if result is None or len(found) < len(inputs):
            return None
        return _Attention(found, scale, result.output[0])

    def _scaled(self, name: str) -> tuple[str, float]:
        """Return the scores before they are multiplied by a constant, and that constant."""
        node = self._maker(name, "Mul")
        if node is not None:
            for value, factor in (node.input, reversed(node.input)):
                if factor in self._constants and self._constants[factor].size == 1:
                    return value, float(self._constants[factor].reshape(()))
        return name, 1.0

    def _undivided(self, name: str, order: list[int]) -> str | None:
        """Return what `[n, length, channels]` a value `[n, heads, …]` is made of."""
        node = self._maker(name, "Transpose")
        if node is None or helper.get_node_attr_value(node, "perm") != order:
            return None
        reshape = self._maker(node.input[0], "Reshape")
        return None if reshape is None else reshape.input[0]

    def _maker(self, name: str, kind: str) -> NodeProto | None:
        node = self._makers.get(name)
        return node if node is not None and node.op_type == kind else None

    def _taker(self, name: str, kind: str) -> NodeProto | None:
        """Return the node that takes a value, if it alone does, and is of this kind."""
        takers = self._takers[name]
        is_inner = len(takers) == 1 and name not in self._outputs
        return takers[0] if is_inner and takers[0].op_type == kind else None


def _needed(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Return the nodes, in order, on which outputs of the graph depend."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]
