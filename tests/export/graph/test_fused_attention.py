"""Attention as one operator: what it replaces, and that the results stay."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from asr_export.graph.attention import OPERATOR, fuse_attention
from onnx import helper, numpy_helper
from torch import nn

HEADS, SIZE = 3, 8


class Attention(nn.Module):
    """Attention without a mask, as transformers writes it; `scale` is that of the scores."""

    def __init__(self, scale: float | None, is_masked: bool = False, shows_weights: bool = False) -> None:
        super().__init__()
        channels = HEADS * SIZE
        self.queries, self.keys, self.values = (nn.Linear(channels, channels) for _ in range(3))
        self.scale, self.is_masked, self.shows_weights = scale, is_masked, shows_weights

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n, length, _ = hidden.shape
        query, key, value = (
            project(hidden).view(n, length, HEADS, SIZE).transpose(1, 2)
            for project in (self.queries, self.keys, self.values)
        )
        scores = query @ key.transpose(2, 3)
        if self.scale is not None:
            scores = scores * self.scale
        if self.is_masked:
            scores = scores + torch.ones(length, length).triu(1) * -100.0
        weights = scores.softmax(dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(n, length, -1)
        return (mixed, weights) if self.shows_weights else (mixed,)


def traced(module: nn.Module, path: Path, outputs: int = 1) -> onnx.ModelProto:
    names = ["mixed", "weights"][:outputs]
    axes = {"hidden": {0: "n", 1: "length"}, **{name: {0: "n"} for name in names}}
    example = torch.zeros(2, 5, HEADS * SIZE)
    with torch.inference_mode():
        torch.onnx.export(
            module.eval(), (example,), str(path), dynamo=False, opset_version=17, input_names=["hidden"],
            output_names=names, dynamic_axes=axes,
        )  # fmt: skip
    return onnx.load(path)


def run(model: onnx.ModelProto, hidden: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[np.ndarray] = session.run(None, {"hidden": hidden})
    return answers


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scale", [None, 1.0, SIZE**-0.5])
def test_the_results_stay(scale: float | None, tmp_path: Path) -> None:
    model = traced(Attention(scale), tmp_path / "a.onnx")
    hidden = np.random.default_rng(0).normal(size=(3, 700, HEADS * SIZE)).astype(np.float32)
    (expected,) = run(model, hidden)
    assert fuse_attention(model, HEADS) == 1
    onnx.checker.check_model(model)
    kinds = {node.op_type for node in model.graph.node}
    assert OPERATOR in kinds
    assert kinds.isdisjoint({"Softmax", "Shape", "Reshape", "Transpose"})  # nothing is left that nobody needs
    (found,) = run(model, hidden)
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("masked", "shown"), [(True, False), (False, True)])
def test_masks_and_weights_that_are_needed_stay(masked: bool, shown: bool, tmp_path: Path) -> None:
    model = traced(Attention(1.0, masked, shown), tmp_path / "a.onnx", 1 + shown)
    before = model.SerializeToString()
    assert fuse_attention(model, HEADS) == 0
    assert model.SerializeToString() == before


def test_a_softmax_of_something_else_stays() -> None:
    node = helper.make_node("Softmax", ["hidden"], ["mixed"], axis=-1)
    value = helper.make_tensor_value_info("hidden", onnx.TensorProto.FLOAT, [2, 4])
    result = helper.make_tensor_value_info("mixed", onnx.TensorProto.FLOAT, [2, 4])
    weight = numpy_helper.from_array(np.zeros(1, np.float32), "unused")
    model = helper.make_model(helper.make_graph([node], "g", [value], [result], [weight]))
    assert fuse_attention(model, HEADS) == 0
