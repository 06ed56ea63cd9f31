"""Both of PyTorch's exporters make a graph of every family, with the same tensors and behind the same gate."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny_checkpoints
import torch
from asr_export import ExportOptions, GateError, export_checkpoint
from asr_export.checkpoint.families import FAMILIES
from asr_export.graph.gate import TENSORRT_OPERATORS
from asr_export.graph.trace import write_graph
from asr_export.networks.acoustic import RaggedCtc
from asr_export.networks.parts.geometry import Geometry

# A few, because each takes ten seconds or more. Others are below: wav2vec2-bert, and wav2vec2 in fp16.
KINDS = ("parakeet",)
# `make test-exhaustive` has these.
OTHERS = (
    "wav2vec2-group-norm",
    "wavlm-group-norm",
    "wav2vec2-bert",
    "conformer-rotary",
    "sew-d",
    "hubert-layer-norm",
    "hubert-batch-norm",
    "unispeech",
    "unispeech-sat",
    "data2vec",
    "conformer-relative",
    "sew",
    "wav2vec2-bert-relative",
    "omniasr",
    "lasr",
    "granite-speech5",
)


def test_no_family_is_left_out() -> None:
    assert {tiny_checkpoints.model_type(kind) for kind in (*KINDS, *OTHERS)} == FAMILIES.keys()


@pytest.fixture
def without_coverage() -> Iterator[None]:
    """Measured, torch.export takes twice as long; the other tests below cover as much.

    pytest-cov's own mark, `no_cover`, saved nothing where pytest-xdist runs the tests.
    """
    trace = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(trace)


# TorchScript, the default, is what every other test exports with.
@pytest.mark.usefixtures("without_coverage")
@pytest.mark.parametrize("kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in OTHERS)])
def test_the_dynamo_exporter_takes_every_family(
    kind: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    result = export_checkpoint(str(tiny_checkpoint(kind)), tmp_path, ExportOptions(exporter="dynamo"))
    assert result.parity.max_abs_difference <= 1e-4
    assert result.parity.max_abs_batch_difference <= 1e-4
    model = onnx.load(tmp_path / "acoustic" / "1" / "model.onnx")
    assert model.ir_version <= 10
    assert {(entry.domain, entry.version) for entry in model.opset_import} == {("", 20)}
    assert {node.op_type for node in model.graph.node} <= TENSORRT_OPERATORS
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"audio": ["total"], "audio_shape": ["n", 1], "log_probs": ["n", "frames", 32], "frames": ["n", 1]}


@pytest.mark.parametrize("ragged", [False, True])
def test_its_rewriting_leaves_a_graph_for_tensorrt(
    ragged: bool, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    # It makes a Clip of a minimum and a maximum, which TensorRT does not take of the integers in this kind.
    options = ExportOptions(exporter="dynamo", platform="tensorrt", ragged=ragged)
    assert export_checkpoint(str(tiny_checkpoint("wav2vec2-bert")), tmp_path, options).parity.decided_agreement == 1


@pytest.mark.parametrize("precision", ["fp16", pytest.param("int8", marks=pytest.mark.exhaustive)])
def test_its_graphs_can_be_converted(precision: Any, tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    options = ExportOptions(exporter="dynamo", precision=precision)
    result = export_checkpoint(str(tiny_checkpoint("wav2vec2-layer-norm")), tmp_path, options)
    assert result.parity.decided_agreement == 1
    types = {weight.data_type for weight in onnx.load(tmp_path / "acoustic" / "1" / "model.onnx").graph.initializer}
    assert {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[precision] in types


def test_a_model_that_it_cannot_take_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Undecided(torch.nn.Module):
        def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            if waveforms.sum() > 0:
                waveforms = -waveforms
            return waveforms[:, :, None], lengths

    with pytest.raises(GateError, match="the dynamo exporter cannot take this model .*try --exporter torchscript"):
        write_graph(RaggedCtc(Undecided()), Geometry(400, 320, 400), tmp_path / "model.onnx", "dynamo")
    assert len("".join(capfd.readouterr())) < 1_000  # not the whole program
