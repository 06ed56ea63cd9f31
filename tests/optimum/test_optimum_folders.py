"""What optimum makes of a checkpoint: a second opinion on our graph, and an input of ours. `make parity-optimum`."""

import shutil
from pathlib import Path

import exports
import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from asr_client import Client
from asr_export import ExportOptions, export_checkpoint
from asr_export.graph.gate import run_ragged
from asr_server import TritonServer
from reference import transformers_says
from run_export import run_export
from whisper_reference import Reference

pytestmark = pytest.mark.optimum
FOLDERS = exports.ROOT / "build" / "optimum" / "folders"
CHECKPOINTS = exports.ROOT / "build" / "optimum" / "checkpoints"
CTC = ["wav2vec2", "hubert", "sew"]
SPEECH = exports.DEMO.parent / "samples" / "quilter.wav"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of optimum in one repository, exported as a user exports them."""
    models = tmp_path_factory.mktemp("optimum") / "models"
    for name, folder, options in (
        ("ctc", "hubert", ()),
        ("merged", "whisper-hub", ()),
        ("few", "whisper-hub", ("--variant", "quantized", "--max-batch-size", "1")),
    ):
        done = run_export(FOLDERS / folder, models, "--name", name, *options)
        assert done.returncode == 0, done.stderr
    return models


@pytest.mark.parametrize("kind", CTC)
def test_alone_our_graph_equals_optimums(kind: str) -> None:
    """An independent exporter of the same checkpoint; it has no mask, so it is a reference for single recordings."""
    wave, logits = (np.load(FOLDERS / kind / f"{name}.npy") for name in ("wave", "logits"))
    session = onnxruntime.InferenceSession(exports.exported(CHECKPOINTS / kind) / "acoustic" / "1" / "model.onnx")
    reference = torch.log_softmax(torch.from_numpy(logits), dim=-1)
    np.testing.assert_allclose(run_ragged(session, [wave])[0], reference.numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", [*CTC, "whisper"])
def test_graphs_of_optimum_equal_pytorch(kind: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDERS / kind, tmp_path / kind))
    shutil.copy(CHECKPOINTS / kind / "model.safetensors", folder)
    result = export_checkpoint(str(folder), tmp_path / "models", ExportOptions(variant="fp32"))
    assert result.reference == "PyTorch"
    assert result.parity.max_abs_difference <= 1e-4
    assert not result.padding_safe or kind == "whisper"  # a CTC graph of optimum has no mask


def test_a_quantised_ctc_graph(tmp_path: Path) -> None:
    options = ExportOptions(variant="quantized", max_batch_size=1)
    result = export_checkpoint(str(FOLDERS / "wav2vec2"), tmp_path / "models", options)
    assert result.reference == "the graph in fp32"
    assert result.parity.argmax_agreement >= 0.9


def test_a_whisper_exported_without_past(tmp_path: Path) -> None:
    done = run_export(FOLDERS / "whisper-without-past", tmp_path / "models")
    assert done.returncode == 1
    assert "optimum-cli export onnx --task automatic-speech-recognition-with-past" in done.stderr
    assert not (tmp_path / "models").exists()


@pytest.mark.e2e
def test_served_they_say_what_transformers_says(repository: Path) -> None:
    speech = np.asarray(soundfile.read(SPEECH, dtype="float32")[0])
    whisper = Reference.load(CHECKPOINTS / "whisper")
    clips = [speech[: seconds * 8_000] for seconds in (1, 2, 5, 10)]
    expected, said, few = [], [], []
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        with Client(server.grpc_url, model="ctc") as client:
            heard = client.transcribe(speech, sampling_rate=16_000).text
        with Client(server.grpc_url, model="merged") as merged, Client(server.grpc_url, model="few") as quantised:
            for clip in clips:
                for language in ("de", "en"):
                    answer = whisper.generate(clip, task="transcribe", language=language)
                    expected.append(whisper.text(answer["tokens"]).strip(" "))
                    said.append(merged.transcribe(clip, sampling_rate=16_000, language=language).text)
                    few.append(quantised.transcribe(clip, sampling_rate=16_000, language=language).text)
    assert heard == transformers_says(CHECKPOINTS / "hubert", speech)
    assert len(heard) > 10
    assert said == expected
    assert len(set(expected)) > 2
    assert all(few)
