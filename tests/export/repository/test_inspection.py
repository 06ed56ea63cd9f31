"""What `triton-asr inspect` says of a repository and of a graph."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from asr_export import ExportResult, OutputError
from asr_export.repository.inspection import inspect_graph, inspect_repository
from onnx import TensorProto, helper


def test_an_exported_model(exported: ExportResult) -> None:
    (model,) = inspect_repository(exported.output)
    (graph,) = model.graphs
    assert (model.name, model.architecture, model.padding_safe) == ("asr", "Wav2Vec2ForCTC", True)
    assert (model.max_batch_size, model.labels) == (16, exported.labels.labels)
    assert model.max_abs_difference == exported.parity.max_abs_difference
    assert graph.inputs == ["audio float32 [total]", "audio_shape int32 [n, 1]"]
    assert graph.outputs == ["log_probs float32 [n, frames, 32]", "frames int32 [n, 1]"]
    assert (graph.opset, graph.outside_tensorrt) == (17, [])
    assert next(iter(graph.weights)) == "float32"
    assert graph.size_bytes > 50_000


def test_operators_outside_tensorrts_table_are_named(tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [1, "k"])
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, tmp_path / "g.onnx")
    facts = inspect_graph(tmp_path / "g.onnx")
    assert (facts.outside_tensorrt, facts.weights, facts.outputs) == (["NonZero"], {}, ["y int64 [1, k]"])


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"^there is no file or folder {tmp_path}/missing$"):
        inspect_graph(tmp_path / "missing")


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_what_is_not_a_graph(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "g.onnx").write_bytes(content)
    with pytest.raises(OutputError, match="graph"):
        inspect_graph(tmp_path / "g.onnx")


def test_what_is_not_a_repository(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no exported model"):
        inspect_repository(tmp_path)


def test_a_repository_with_a_part_missing(tmp_path: Path) -> None:
    (tmp_path / "asr").mkdir()
    (tmp_path / "asr" / "export.json").write_text("{}")
    with pytest.raises(OutputError, match="asr is not a whole export"):
        inspect_repository(tmp_path)


def test_the_command_prints_it(exported: ExportResult) -> None:
    command = [sys.executable, "-m", "triton_asr", "inspect", str(exported.output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "asr: Wav2Vec2ForCTC" in done.stdout
    assert "32 labels: <pad> <s>" in done.stdout
    assert "operators outside TensorRT's table: none" in done.stdout
