"""The gate refuses a graph that is not what the checkpoint means, and then nothing is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from asr_export import ExportError, ExportResult, GateError, export_checkpoint, pipeline
from asr_export.checkpoint.loading import load, locate
from asr_export.graph.gate import Probe, check_graph, check_parity, make_probe
from asr_export.graph.tensorrt import TENSORRT_OPERATORS
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def graph(exported: ExportResult, tmp_path: Path) -> Path:
    """A private copy of a sound graph."""
    path = tmp_path / "model.onnx"
    path.write_bytes((exported.output / "acoustic" / "1" / "model.onnx").read_bytes())
    return path


@pytest.fixture(scope="module")
def probe(tiny_checkpoint: Callable[[str], Path]) -> Probe:
    return make_probe(load(locate(str(tiny_checkpoint("wav2vec2-group-norm")))))


def change(path: Path, edit: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)


def scale_weights(factor: float) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        weight = next(w for w in model.graph.initializer if list(w.dims) == [32, 64])  # a feed-forward layer
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(factor), weight.name))

    return edit


def test_a_sound_graph_passes(graph: Path, probe: Probe) -> None:
    check_graph(graph)
    assert check_parity(graph, probe).argmax_agreement == 1


def test_the_graph_is_within_the_limits_of_triton_24_10(graph: Path) -> None:
    model = onnx.load(graph)
    assert model.ir_version <= 10
    assert {(entry.domain, entry.version <= 21) for entry in model.opset_import} == {("", True)}
    assert {node.op_type for node in model.graph.node} <= TENSORRT_OPERATORS


def test_the_graphs_tensors_are_those_of_the_configuration(graph: Path) -> None:
    model = onnx.load(graph).graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.input, *model.output)
    }
    assert shapes == {"audio": ["total"], "audio_shape": ["n", 1], "log_probs": ["n", "frames", 32], "frames": ["n", 1]}


def test_a_slightly_wrong_weight_is_found(graph: Path, probe: Probe) -> None:
    change(graph, scale_weights(1.001))
    with pytest.raises(GateError, match="log-probs differ by .* from PyTorch"):
        check_parity(graph, probe)


def farther(probe: Probe, factor: float) -> Probe:
    """What a checkpoint would say whose head is larger: the same frames, spread over more nats."""

    def spread(log_probs: np.ndarray) -> np.ndarray:
        logits = factor * log_probs.astype(np.float64)
        return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), np.float32)

    return replace(probe, references=[[spread(row) for row in batch] for batch in probe.references])


def larger_head(factor: float) -> Callable[[onnx.ModelProto], None]:
    """A Mul of the logits, in front of the LogSoftmax."""

    def edit(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.float32(factor).reshape(()), "larger"))
        end = next(node for node in model.graph.node if node.op_type == "LogSoftmax")
        index = list(model.graph.node).index(end)
        model.graph.node.insert(index, onnx.helper.make_node("Mul", [end.input[0], "larger"], ["larger logits"]))
        model.graph.node[index + 1].input[0] = "larger logits"

    return edit


def test_rounding_may_grow_with_the_logits(graph: Path, probe: Probe) -> None:
    change(graph, larger_head(25))
    parity = check_parity(graph, farther(probe, 25))
    assert 1e-4 < parity.max_abs_difference < 1e-3  # an absolute bound would refuse it
    assert parity.argmax_agreement == 1


def test_a_slightly_wrong_weight_is_found_in_larger_logits_too(graph: Path, probe: Probe) -> None:
    change(graph, larger_head(25))
    change(graph, scale_weights(1.001))
    with pytest.raises(GateError, match="log-probs differ by .* from PyTorch"):
        check_parity(graph, farther(probe, 25))


def test_a_masked_label_gives_the_others_no_more_room(graph: Path, probe: Probe) -> None:
    masked = np.zeros(32, np.float32)
    masked[5] = -1e9

    def mask(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(masked, "mask"))
        end = next(node for node in model.graph.node if node.output[0] == "log_probs")
        end.output[0] = "unmasked"
        model.graph.node.append(onnx.helper.make_node("Add", ["unmasked", "mask"], ["log_probs"]))

    change(graph, mask)
    references = [[row + masked for row in batch] for batch in probe.references]
    check_parity(graph, replace(probe, references=references))
    change(graph, scale_weights(1.1))
    with pytest.raises(GateError, match=r"log-probs differ by .* from PyTorch.*needs 1.1e-03 or less"):
        check_parity(graph, replace(probe, references=references))


def test_nan_at_run_time_is_found(graph: Path, probe: Probe) -> None:
    change(graph, scale_weights(3e38))
    with pytest.raises(GateError, match="NaN or Inf"):
        check_parity(graph, probe)


def test_nan_in_a_weight_is_found(graph: Path) -> None:
    change(graph, scale_weights(np.nan))
    with pytest.raises(GateError, match="the weight .* holds NaN or Inf"):
        check_graph(graph)


def test_an_operator_outside_the_list_is_found(graph: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("NonZero", ["audio"], ["where"]))
        model.graph.output.append(helper.make_tensor_value_info("where", TensorProto.INT64, [1, None]))

    change(graph, edit)
    with pytest.raises(GateError, match="does not take: NonZero"):
        check_graph(graph)


def test_a_newer_ir_than_tritons_is_found(graph: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        model.ir_version = 11

    change(graph, edit)
    with pytest.raises(GateError, match="IR 11; Triton 24.10 takes at most 21 and 10"):
        check_graph(graph)


def test_a_broken_graph_is_found(graph: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node[3].input[0] = "nowhere"

    change(graph, edit)
    with pytest.raises(GateError, match="checker"):
        check_graph(graph)


def test_a_failed_gate_writes_nothing(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pipeline.write_graph

    def slip(module: object, geometry: object, path: Path, exporter: object) -> None:
        real(module, geometry, path, exporter)  # type: ignore[arg-type]
        change(path, scale_weights(1.01))

    monkeypatch.setattr(pipeline, "write_graph", slip)
    with pytest.raises(ExportError, match="differ"):
        export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), tmp_path / "models")
    assert list(tmp_path.iterdir()) == []
