"""The static gate for TensorRT: every family passes it, and each thing that TensorRT would trip on is found."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import exports
import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_checkpoints
from asr_export import ExportError, ExportOptions, ExportResult, GateError, export_checkpoint
from asr_export.graph.feeds import dense_feed
from asr_export.graph.folding import fold_constants, foldable
from asr_export.graph.gate import run_graph, run_ragged
from asr_export.graph.tensorrt import check_precision, check_tensorrt
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64, BOOL = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL


# One kind of each family; `make test-exhaustive` has the others, and `make check-tensorrt` builds engines of all.
FAMILIES = {tiny_checkpoints.model_type(kind): kind for kind in tiny_checkpoints.KINDS}
RAGGED = ("parakeet", "granite-speech5")


def some_of(kinds: Iterable[str], few: Collection[str]) -> list[Any]:
    """Those that are not among the few are marked as exhaustive."""
    return [kind if kind in few else pytest.param(kind, marks=pytest.mark.exhaustive) for kind in kinds]


@pytest.mark.parametrize("kind", some_of(tiny_checkpoints.KINDS, FAMILIES.values()))
def test_every_family_passes_the_gate_and_equals_pytorch(
    kind: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    result = export_checkpoint(str(tiny_checkpoint(kind)), tmp_path, ExportOptions(platform="tensorrt"))
    assert result.parity.max_abs_difference <= 1e-4
    assert result.parity.max_abs_batch_difference <= 1e-4
    graph = onnx.load(tmp_path / "acoustic" / "1" / "model.onnx").graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"audio": ["n", "time"], "lengths": ["n", 1], "log_probs": ["n", "frames", 32], "frames": ["n", 1]}
    assert not foldable(graph)


@pytest.mark.parametrize("kind", some_of(dict.fromkeys([*FAMILIES.values(), *RAGGED]), RAGGED))
def test_every_family_passes_it_with_a_ragged_batch(
    kind: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    options = ExportOptions(platform="tensorrt", ragged=True)
    result = export_checkpoint(str(tiny_checkpoint(kind)), tmp_path, options)
    assert result.parity.max_abs_difference <= 1e-4
    assert result.parity.max_abs_batch_difference <= 1e-4


def test_the_dense_graph_says_what_the_ragged_one_says(
    exported: ExportResult, tiny_checkpoint: Callable[[str], Path]
) -> None:
    folder = exports.exported(tiny_checkpoint("wav2vec2-group-norm"), ExportOptions(platform="tensorrt"))
    ragged, dense = (
        onnxruntime.InferenceSession(made / "acoustic" / "1" / "model.onnx") for made in (exported.output, folder)
    )
    noise = np.random.default_rng(0)
    waves = [noise.normal(scale=0.1, size=length).astype(np.float32) for length in (400, 33_000, 16_384)]
    for ours, theirs in zip(run_graph(dense, waves, dense_feed), run_ragged(ragged, waves), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("width", [33_000, 33_001, 33_280, 33_793])
def test_a_padded_batch_can_have_any_width(width: int, tiny_checkpoint: Callable[[str], Path]) -> None:
    """Whole blocks of 512 samples, or not: `bucket_samples` is a setting that users can change."""
    folder = exports.exported(tiny_checkpoint("wav2vec2-group-norm"), ExportOptions(platform="tensorrt"))
    session = onnxruntime.InferenceSession(folder / "acoustic" / "1" / "model.onnx")
    wave = np.random.default_rng(0).normal(scale=0.1, size=(1, 33_000)).astype(np.float32)
    padded = np.pad(wave, ((0, 0), (0, width - 33_000)), constant_values=np.nan)
    lengths = np.array([[33_000]], np.int32)
    answers = [session.run(["log_probs", "frames"], {"audio": audio, "lengths": lengths}) for audio in (wave, padded)]
    (expected, frames), (log_probs, same) = answers
    assert frames.tolist() == same.tolist() == [[102]]
    np.testing.assert_allclose(log_probs[0, :102], expected[0, :102], atol=1e-4)


def test_the_ragged_graph_of_onnx_runtime_does_not_pass(exported: ExportResult, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((exported.output / "acoustic" / "1" / "model.onnx").read_bytes())
    fold_constants(path)
    with pytest.raises(GateError, match=r"Range .* has a shape that depends on the values of audio_shape"):
        check_tensorrt(path)


def test_int8_is_refused_with_the_reason() -> None:
    check_precision("fp32")
    check_precision("fp16")
    with pytest.raises(ExportError, match="QuantizeLinear and DequantizeLinear"):
        check_precision("int8")


Value = tuple[str, int, list[int | str | None]]


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[Value],
    outputs: list[Value],
    **constants: np.ndarray,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path / "g.onnx")
    return path / "g.onnx"


X: Value = ("x", FLOAT, ["n", "t"])
Y: Value = ("y", FLOAT, ["n", "t"])


def refusal(path: Path) -> str:
    with pytest.raises(GateError) as refused:
        check_tensorrt(path)
    return str(refused.value)


def test_a_sound_graph_passes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Expand", ["one", "shape"], ["ones"]),
        helper.make_node("Add", ["x", "ones"], ["y"]),
    ]
    check_tensorrt(save(tmp_path, nodes, [X], [Y], one=np.ones(1, np.float32)))


@pytest.mark.parametrize("operator", ["NonZero", "CumSum", "Softsign"])
def test_an_operator_outside_the_table(operator: str, tmp_path: Path) -> None:
    inputs = ["x", "axis"] if operator == "CumSum" else ["x"]
    output: Value = ("y", INT64, [2, None]) if operator == "NonZero" else Y
    path = save(tmp_path, [helper.make_node(operator, inputs, ["y"])], [X], [output], axis=np.array(0))
    assert refusal(path) == f"TensorRT would refuse {operator} y: the operator is not in the table of onnx-tensorrt"


def test_a_type_that_tensorrt_does_not_compute_in(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=DOUBLE),
        helper.make_node("Mul", ["wide", "wide"], ["square"]),
        helper.make_node("Cast", ["square"], ["y"], to=FLOAT),
    ]
    reason = refusal(save(tmp_path, nodes, [X], [Y]))
    assert reason.startswith("TensorRT would refuse Cast wide: wide is DOUBLE; Cast takes BFLOAT16, BOOL, FLOAT, ")


def test_a_type_that_one_operator_does_not_take(tmp_path: Path) -> None:
    nodes = [helper.make_node("Clip", ["x", "low"], ["y"])]
    path = save(tmp_path, nodes, [("x", INT64, ["n"])], [("y", INT64, ["n"])], low=np.array(0))
    assert refusal(path) == "TensorRT would refuse Clip y: x is INT64; Clip takes BFLOAT16, FLOAT, FLOAT16"


def test_the_type_of_a_choice_counts_not_that_of_its_condition(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["loud"]),
        helper.make_node("Where", ["loud", "x", "zero"], ["y"]),
    ]
    check_tensorrt(save(tmp_path, nodes, [X], [Y], zero=np.zeros(1, np.float32)))


def test_types_that_do_not_agree(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "half"], ["y"])]
    path = save(tmp_path, nodes, [X], [Y], half=np.ones(1, np.float16))
    assert "types and shapes cannot be inferred" in (reason := refusal(path))
    assert "inconsistent type tensor(float16)" in reason


def test_inputs_that_are_not_plain(tmp_path: Path) -> None:
    nodes = [helper.make_node("Not", ["x"], ["y"])]
    assert "x is BOOL; inputs and outputs need" in refusal(
        save(tmp_path, nodes, [("x", BOOL, ["n"])], [("y", BOOL, ["n"])])
    )


def test_pooling_in_one_dimension(tmp_path: Path) -> None:
    nodes = [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2])]
    path = save(tmp_path, nodes, [("x", FLOAT, ["n", 1, "t"])], [("y", FLOAT, ["n", 1, "u"])])
    assert "pools in two or three dimensions" in refusal(path)


def test_a_second_output(tmp_path: Path) -> None:
    nodes = [helper.make_node("LayerNormalization", ["x", "scale"], ["y", "mean"])]
    scale = np.ones(4, np.float32)
    path = save(tmp_path, nodes, [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])], scale=scale)
    assert "makes only the first output" in refusal(path)


def test_an_einsum_with_an_ellipsis(tmp_path: Path) -> None:
    nodes = [helper.make_node("Einsum", ["x", "x"], ["y"], equation="...i,...i->...i")]
    assert "no ellipsis" in refusal(save(tmp_path, nodes, [X], [Y]))


def test_axes_that_are_not_constant(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], start=1, end=2),
        helper.make_node("ReduceSum", ["x", "shape"], ["y"]),
    ]
    path = save(tmp_path, nodes, [X], [("y", FLOAT, [None, None])])
    assert refusal(path) == "TensorRT would refuse ReduceSum y: shape must be a constant"


def test_a_shape_that_depends_on_values(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMax", ["lengths"], ["longest"], keepdims=0),
        helper.make_node("Range", ["zero", "longest", "one"], ["y"]),
    ]
    path = save(tmp_path, nodes, [("lengths", INT64, ["n"])], [("y", INT64, ["t"])], zero=np.array(0), one=np.array(1))
    assert refusal(path) == ("the output of Range y has a shape that depends on the values of lengths, through longest")


def test_what_constants_alone_determine(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["one", "one"], ["two"]), helper.make_node("Mul", ["x", "two"], ["y"])]
    path = save(tmp_path, nodes, [X], [Y], one=np.ones(1, np.float32))
    assert "Add two and 0 more nodes depend only on constants" in refusal(path)


def test_a_value_without_a_rank(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["z"]), helper.make_node("Abs", ["z"], ["y"])]
    path = save(tmp_path, nodes, [X, ("shape", INT64, [None])], [("y", FLOAT, None)])  # type: ignore[list-item]
    assert "no type and rank for z" in refusal(path)


def test_shapes_that_contradict_each_other(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["y"])]
    path = save(tmp_path, nodes, [("x", FLOAT, ["n", 3])], [("y", FLOAT, ["n", 2])], weight=np.ones((4, 2), np.float32))
    assert "Incompatible dimensions for matrix multiplication" in refusal(path)
