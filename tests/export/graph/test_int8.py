"""What int8 makes of products and convolutions: no row depends on another, and no kind is left out."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from asr_export import ExportOptions, GateError, export_checkpoint
from asr_export.checkpoint.loading import load, locate
from asr_export.graph import int8, precision
from asr_export.graph.gate import Parity, check_graph, check_parity, make_probe, open_session
from asr_export.graph.int8 import PRODUCT, to_int8
from asr_export.graph.precision import convert, ragged_graph
from asr_export.graph.trace import write_graph
from asr_export.networks.parts.channel_norm import as_product, masked
from onnx import TensorProto, helper, numpy_helper
from torch import nn

# A kind each of: GroupNorm, LayerNorm, convolutions behind the encoder, kernels of one frame, convolutions in blocks.
KINDS = ["wav2vec2-group-norm", "omniasr", "wav2vec2-adapter", "sew"]
# `make test-exhaustive` has these.
OTHERS = ["hubert-batch-norm", "unispeech-sat", "data2vec", "wavlm-layer-norm", "conformer-relative", "sew-d"]
GELU = [
    helper.make_node("Div", ["h", "root"], ["d"]),
    helper.make_node("Erf", ["d"], ["e"]),
    helper.make_node("Add", ["e", "one"], ["f"]),
    helper.make_node("Mul", ["h", "f"], ["g"]),
    helper.make_node("Mul", ["g", "half"], ["bent"]),
]
GELU_CONSTANTS = {"root": np.sqrt(2), "one": 1, "half": 0.5}


@pytest.fixture(autouse=True)
def small_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoints of tests have few channels."""
    monkeypatch.setattr(int8, "_FEWEST_CHANNELS", 2)


def a_graph(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[object], opset: int = 17, **weights: object
) -> onnx.ModelProto:
    """Float32 `x` of a shape -> `y`, with weights by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray, path: Path) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return np.asarray(open_session(path).run(["y"], {"x": x.astype(np.float32)})[0])


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("opset", [17, 20])
def test_an_int8_row_does_not_depend_on_its_neighbours(opset: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(4, 6))
    model = a_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], ["rows", 4], opset, w=weight)
    assert to_int8(model) == 1
    quiet, loud = random.normal(size=(1, 4)), 1e4 * random.normal(size=(1, 4))
    rows = np.concatenate([quiet, loud, np.zeros((1, 4))])
    together = run(model, rows, tmp_path / "g.onnx")
    np.testing.assert_array_equal(together[:1], run(model, quiet, tmp_path / "solo.onnx"))
    np.testing.assert_array_equal(together[2], np.zeros(6))
    assert np.abs(together[0] - quiet @ weight).max() < 0.05
    assert np.abs(together[1] - loud @ weight).max() < 0.05 * 1e4


def test_int8_without_anything_to_quantise() -> None:
    with pytest.raises(GateError, match="nothing to quantise"):
        to_int8(a_graph([helper.make_node("Relu", ["x"], ["y"])], ["rows", 4]))


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize(
    ("size", "way"),
    [
        (3, {"strides": [2]}),
        (3, {"strides": [2], "pads": [1, 1]}),
        (3, {"pads": [2, 0]}),
        (2, {"strides": [2]}),
        (2, {"strides": [3]}),
        (1, {}),
        (1, {"strides": [2]}),
    ],
)
def test_a_convolution_is_a_product_of_windows(
    opset: int, size: int, way: dict[str, list[int]], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["y"], **way)]
    weights = {"w": random.normal(size=(24, 40, size)), "b": random.normal(size=24)}
    x = random.normal(size=(2, 40, 31)) * np.exp(random.normal(size=(2, 1, 31)))
    expected = run(a_graph(nodes, ["n", 40, "t"], opset, **weights), x, tmp_path / "float.onnx")
    model = a_graph(nodes, ["n", 40, "t"], opset, **weights)
    assert to_int8(model) == 1
    assert operators(model)["Conv"] == 0
    found = run(model, x, tmp_path / "int8.onnx")
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.04 * np.abs(expected).max()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


def test_a_window_does_not_depend_on_what_it_does_not_see(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    model = a_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[2])], ["n", 16, "t"], w=random.normal(size=(8, 16, 3))
    )
    to_int8(model)
    quiet, loud = random.normal(size=(1, 16, 20)), 1e4 * random.normal(size=(1, 16, 20))
    alone = run(model, quiet[:, :, :9], tmp_path / "alone.onnx")
    quiet[:, :, 9:] = loud[:, :, 9:]  # as padding would be, or the next word
    together = run(model, np.concatenate([quiet, loud]), tmp_path / "together.onnx")
    np.testing.assert_allclose(together[:1, :, :4], alone, rtol=1e-4, atol=1e-5)


def test_a_convolution_of_the_waveform_stays_in_float32(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "wave"], ["h"], strides=[5]),
        *GELU,
        helper.make_node("Conv", ["bent", "w"], ["y"]),
    ]
    weights = {"wave": random.normal(size=(32, 1, 10)), "w": np.eye(32)[:, :, None], **GELU_CONSTANTS}
    x = random.normal(size=(2, 1, 100))
    model = a_graph(nodes, ["n", 1, "t"], **weights)
    to_int8(model)
    assert operators(model)["MatMul"] == 1
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("h.product", TensorProto.FLOAT, [None] * 3))
    onnx.save(model, tmp_path / "int8.onnx")
    found = open_session(tmp_path / "int8.onnx").run(["h.product"], {"x": x.astype(np.float32)})[0]
    alone = [helper.make_node("Conv", ["x", "wave"], ["y"], strides=[5])]
    expected = run(a_graph(alone, ["n", 1, "t"], wave=weights["wave"]), x, tmp_path / "float.onnx")
    np.testing.assert_allclose(found.transpose(0, 2, 1), expected, atol=1e-5)


def test_tensors_are_not_turned_back_between_convolutions(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    norm = [
        helper.make_node("Transpose", ["first"], ["last"], perm=[0, 2, 1]),
        helper.make_node("LayerNormalization", ["last", "scale"], ["normed"], axis=-1),
        helper.make_node("Transpose", ["normed"], ["h"], perm=[0, 2, 1]),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "v", "b"], ["first"], strides=[2]),
        *norm,
        *GELU,
        helper.make_node("Conv", ["bent", "w"], ["second"]),
        helper.make_node("Relu", ["second"], ["y"]),
    ]
    weights = {name: random.normal(size=(16, 16, 3)) for name in "vw"}
    weights |= {"b": random.normal(size=16), "scale": random.normal(size=16)}
    x = random.normal(size=(2, 16, 40))
    expected = run(a_graph(nodes, ["n", 16, "t"], **weights, **GELU_CONSTANTS), x, tmp_path / "float.onnx")
    model = a_graph(nodes, ["n", 16, "t"], **weights, **GELU_CONSTANTS)
    assert to_int8(model) == 2
    assert operators(model)["Transpose"] == 2  # of x and y
    assert np.abs(run(model, x, tmp_path / "int8.onnx") - expected).max() < 0.03 * np.abs(expected).max()


def test_a_tensor_that_something_else_reads_is_turned_back(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["h"], pads=[1, 1]),
        helper.make_node("Add", ["h", "x"], ["sum"]),  # x exists turned as well
        helper.make_node("Mul", ["sum", "channels"], ["scaled"]),  # no scalar: works on plain tensors alone
        helper.make_node("ReduceMean", ["scaled"], ["mean"], axes=[2], keepdims=1),
        helper.make_node("Sub", ["sum", "mean"], ["y"]),
    ]
    weights = {"w": random.normal(size=(16, 16, 3)), "b": random.normal(size=16), "channels": np.ones((1, 16, 1))}
    x = random.normal(size=(2, 16, 12))
    expected = run(a_graph(nodes, ["n", 16, "t"], **weights), x, tmp_path / "float.onnx")
    model = a_graph(nodes, ["n", 16, "t"], **weights)
    assert to_int8(model) == 1
    assert np.abs(run(model, x, tmp_path / "int8.onnx") - expected).max() < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize(
    "way",
    [{"group": 4, "w": (16, 4, 3)}, {"dilations": [2], "w": (16, 16, 3)}, {"auto_pad": "SAME_UPPER", "w": (16, 16, 3)}],
)
def test_other_convolutions_stay_as_they_are(way: dict[str, object], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=way.pop("w"))  # type: ignore[call-overload]
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"], **way), helper.make_node("Conv", ["h", "v"], ["y"])]
    model = a_graph(nodes, ["n", 16, "t"], w=weight, v=random.normal(size=(3, 16, 4)))
    assert to_int8(model) == 1
    assert operators(model)["Conv"] == 1
    assert np.isfinite(run(model, random.normal(size=(1, 16, 20)), tmp_path / "g.onnx")).all()


def test_a_convolution_of_few_channels_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["h"]), helper.make_node("Conv", ["h", "v"], ["y"])]
    model = a_graph(nodes, ["n", 8, "t"], w=np.ones((16, 8, 3)), v=np.ones((3, 16, 3)))
    monkeypatch.setattr(int8, "_FEWEST_CHANNELS", 16)
    assert to_int8(model) == 1
    assert operators(model)["Conv"] == 1


@pytest.mark.parametrize("kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in OTHERS)])
def test_every_convolution_in_time_of_a_kind_is_quantised(
    kind: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = load(locate(str(tiny_checkpoint(kind))))
    probe = make_probe(checkpoint)
    graph = tmp_path / "graph" / "model.onnx"
    graph.parent.mkdir()
    network = checkpoint.family.network(checkpoint.model, checkpoint.feature_extractor)
    write_graph(ragged_graph("int8")(network), checkpoint.geometry, graph)
    check_graph(graph)
    check_parity(graph, probe)
    assert not float64_products_of_transposes(onnx.load(graph))
    parity = convert(graph, "int8", probe).parity
    assert parity.decided_frames > 100
    model = onnx.load(graph)
    left = [node for node in model.graph.node if node.op_type == "Conv"]
    assert all(helper.get_node_attr_value(node, "group") > 1 for node in left)
    assert operators(model)[PRODUCT] > 10


def test_convolutions_stay_in_float32_where_the_gate_refuses_them(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_products_of_windows(path: Path, *arguments: Any) -> Parity:
        if operators(onnx.load(path))["Conv"] < 2:
            raise GateError("the labels are others")
        return check_parity(path, *arguments)

    monkeypatch.setattr(precision, "check_parity", refuse_products_of_windows)
    checkpoint = str(tiny_checkpoint("wav2vec2-group-norm"))
    result = export_checkpoint(checkpoint, tmp_path / "models", ExportOptions(precision="int8"))
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert report["int8_convolutions"] is False
    graph = operators(onnx.load(result.output / "acoustic" / "1" / "model.onnx"))
    assert graph["Conv"] >= 6
    assert graph[PRODUCT] > 10


def float64_products_of_transposes(model: onnx.ModelProto) -> list[str]:
    """The products that ONNX Runtime 1.19 fuses with a Transpose, and then has no kernel for."""
    inferred = onnx.shape_inference.infer_shapes(model)
    doubles = {
        value.name for value in inferred.graph.value_info if value.type.tensor_type.elem_type == TensorProto.DOUBLE
    }
    transposed = {node.output[0] for node in model.graph.node if node.op_type == "Transpose"}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.output[0] in doubles]
    return [node.name for node in products if transposed.intersection(node.input)]


def a_first_layer() -> tuple[nn.Conv1d, nn.GroupNorm]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv, norm = nn.Conv1d(1, 24, 10, stride=5), nn.GroupNorm(24, 24)
        norm.weight.data.normal_()
        norm.bias.data.normal_()
        # These hear what speech has little of: the difference of neighbours, and the difference of differences.
        conv.weight.data[0, 0] = torch.tensor([0, 0, 0, 0, 1, -1, 0, 0, 0, 0])
        conv.weight.data[1, 0] = torch.tensor([0, 0, 1, -4, 6, -4, 1, 0, 0, 0])
    return conv, norm


def test_the_norm_of_the_first_convolution_is_the_same_as_a_product() -> None:
    conv, norm = a_first_layer()
    time = np.arange(16_000) / 16_000
    hum = np.sin(2 * np.pi * 100 * time) + 1e-3 * np.random.default_rng(0).normal(size=16_000) + 0.5
    waves = torch.tensor(
        np.stack([hum, np.where(time < 0.4, hum, 0), np.where(time < 0.025, 1.0, 0)]), dtype=torch.float32
    )
    lengths = torch.tensor([3_199, 1_279, 79])
    with torch.inference_mode():
        expected, found = (form(conv, norm, waves[:, None], lengths) for form in (masked, as_product))
        exact = masked(conv.double(), norm.double(), waves[:, None].double(), lengths)
    for row, frames in enumerate(lengths):
        worst = [float((each - exact)[row, :, :frames].abs().max()) for each in (found, expected)]
        assert worst[0] <= max(2 * worst[1], 1e-5), (row, worst)


def test_a_group_norm_of_several_channels_is_refused() -> None:
    conv, _ = a_first_layer()
    for form in (masked, as_product):
        with pytest.raises(ValueError, match="GroupNorm with 8 groups of 24 channels; needs one channel each"):
            form(conv, nn.GroupNorm(8, 24), torch.zeros(1, 1, 400), torch.tensor([79]))
