"""A CTC graph in a folder of optimum through the whole export."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import exports
import fake_hub
import graph_folders
import graph_variants
import numpy as np
import onnx
import onnxruntime
import pytest
from asr_contract.labels import Labels
from asr_export import ExportError, ExportOptions, GateError, GraphError, UnsupportedCheckpoint, export_checkpoint
from asr_export.graph.feeds import equal_feed
from asr_export.graph.gate import run_graph, synthetic_speech
from decode import decode
from reference import transformers_log_probs, transformers_says
from run_export import run_export


@pytest.fixture(scope="module")
def made(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of a group-norm Wav2Vec2, without weights. Copy it before you change it."""
    folder = graph_folders.write_ctc(tiny_checkpoint("wav2vec2-group-norm"), tmp_path_factory.mktemp("made") / "ctc")
    graph_variants.quantise(folder / "model.onnx")
    graph_variants.halve(folder / "model.onnx")
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "folder"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def refuse(folder: Path, error: type[ExportError], message: str, options: ExportOptions | None = None) -> None:
    """Nothing is written."""
    output = folder.parent / "models"
    with pytest.raises(error, match=message):
        export_checkpoint(str(folder), output, options or ExportOptions())
    assert not output.exists()


def test_what_is_heard_is_what_the_checkpoint_says(
    copy: Path, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    graph_folders.in_own_folder(copy)
    done = run_export(copy, tmp_path / "models")
    assert done.returncode == 0, done.stderr
    assert "taking the graph of the variant fp32" in done.stderr
    assert "parity with the graph as it came over" in done.stdout
    report = json.loads((tmp_path / "models" / "asr" / "export.json").read_text(encoding="utf-8"))
    assert report["architecture"] == "Wav2Vec2ForCTC"
    assert report["files_sha256"].keys() >= {"config.json", "onnx/model.onnx", "vocab.json"}
    assert (report["variant"], report["precision"], report["padding_safe"]) == ("fp32", "fp32", False)
    wave = synthetic_speech(np.random.default_rng(4), 30_001, 16_000)
    session = onnxruntime.InferenceSession(tmp_path / "models" / "acoustic" / "1" / "model.onnx")
    (log_probs,) = run_graph(session, [wave], equal_feed)
    checkpoint = tiny_checkpoint("wav2vec2-group-norm")
    np.testing.assert_allclose(log_probs, transformers_log_probs(checkpoint, wave), atol=1e-4)
    labels = Labels.load(tmp_path / "models" / "ctc_decode" / "labels.json")
    (heard,) = decode([log_probs], [len(log_probs)], labels)
    assert heard.text == transformers_says(checkpoint, wave)
    assert labels == Labels.load(exports.exported(checkpoint) / "ctc_decode" / "labels.json")


def test_weights_beside_a_graph_are_taken_or_compared_with(
    copy: Path, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copy(tiny_checkpoint("wav2vec2-group-norm") / "model.safetensors", copy)
    done = run_export(copy, tmp_path / "traced")
    assert "taking the weights; --variant takes its ONNX graphs instead (fp32, fp16, quantized)" in done.stderr
    assert (tmp_path / "traced" / "asr" / "export.json").is_file()
    result = export_checkpoint(str(copy), tmp_path / "taken", ExportOptions(variant="fp16"))
    assert result.reference == "PyTorch"
    assert 1e-4 < result.parity.max_abs_difference < 0.5
    assert result.parity.decided_agreement >= 0.995


def test_a_manifest_is_heard_by_graph_and_weights(tmp_path: Path) -> None:
    folder = graph_folders.write_ctc(exports.DEMO, tmp_path / "demo")
    options = ExportOptions(check_manifest=str(exports.MANIFEST), variant="fp32", max_audio_seconds=20)
    refuse(folder, ExportError, "--check-manifest compares with PyTorch, and .* has no model.safetensors", options)
    for file in exports.DEMO.glob("model*.safetensors"):
        shutil.copy(file, folder)
    result = export_checkpoint(str(folder), tmp_path / "models", options)
    assert result.word_errors is not None
    assert result.word_errors.graph_wer == result.word_errors.reference_wer < 20


def test_float16_is_compared_with_float32(copy: Path, tmp_path: Path) -> None:
    result = export_checkpoint(str(copy), tmp_path / "models", ExportOptions(variant="fp16"))
    assert result.reference == "the graph in fp32"
    assert result.parity.argmax_agreement >= 0.98
    session = onnxruntime.InferenceSession(tmp_path / "models" / "acoustic" / "1" / "model.onnx")
    assert {value.type for value in (*session.get_inputs(), session.get_outputs()[0])} == {"tensor(float)"}


def test_one_scale_for_a_batch_is_one_recording_at_a_time(copy: Path, tmp_path: Path) -> None:
    refuse(
        copy,
        GraphError,
        r"one scale for a whole batch \(DynamicQuantizeLinear\), .* needs --max-batch-size 1",
        ExportOptions(variant="quantized"),
    )
    options = ExportOptions(variant="quantized", max_batch_size=1)
    assert export_checkpoint(str(copy), tmp_path / "models", options).parity.argmax_agreement >= 0.9


def test_a_quantised_graph_that_hears_something_else(copy: Path) -> None:
    path = copy / "model_quantized.onnx"
    model = onnx.load(path)
    # The largest weight in 8 bits is a product of its scale: ten times that is another model.
    for weight in model.graph.initializer:
        if weight.name.endswith("_scale"):
            values = onnx.numpy_helper.to_array(weight) * np.float32(10)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, path)
    refuse(
        copy,
        GateError,
        r"best label agrees with the graph in fp32 in \d+\.\d+% of all frames; needs 90\.00%",
        ExportOptions(variant="quantized", max_batch_size=1),
    )


def test_another_type_of_model(copy: Path) -> None:
    change(copy / "config.json", model_type="bert", architectures=["BertForMaskedLM"])
    refuse(copy, UnsupportedCheckpoint, r"is of type 'bert' \(BertForMaskedLM\); supported: Wav2Vec2ForCTC")


def test_a_graph_without_the_head(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    folder = graph_folders.write_ctc(tiny_checkpoint("wav2vec2-group-norm"), tmp_path / "folder", head=False)
    refuse(folder, GraphError, "needs logits: it was exported for another task, .*--task automatic-speech-recognition")


@pytest.mark.parametrize("kind", ["parakeet", "omniasr"])
def test_a_graph_that_takes_features(
    kind: str, made: Path, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint(kind), tmp_path / "folder"))
    (folder / "model.safetensors").unlink()
    shutil.copy(made / "model.onnx", folder)
    refuse(folder, UnsupportedCheckpoint, "needs a class with a Wav2Vec2FeatureExtractor, whose graphs take a waveform")


def test_a_vocabulary_of_another_model(copy: Path) -> None:
    change(copy / "config.json", vocab_size=40)
    refuse(copy, GraphError, r"has \d+ columns and a frame every 320 samples; config.json and the tokenizer .* say 40")


def test_operators_that_nobody_has(copy: Path) -> None:
    model = onnx.load(copy / "model.onnx")
    model.graph.node[-1].domain = "someone.else"
    model.opset_import.append(onnx.helper.make_opsetid("someone.else", 1))
    onnx.save(model, copy / "model.onnx")
    refuse(copy, GraphError, "operators outside the ONNX standard: someone.else.")


def test_operators_that_onnx_runtime_lacks(copy: Path) -> None:
    model = onnx.load(copy / "model.onnx")
    model.graph.node[-1].domain, model.graph.node[-1].op_type = "com.microsoft", "NobodyHasThis"
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, copy / "model.onnx")
    refuse(copy, GraphError, "ONNX Runtime does not load .*NobodyHasThis")


@pytest.mark.parametrize(
    "option", [{"precision": "int8"}, {"exporter": "dynamo"}, {"platform": "tensorrt"}, {"language": "eng"}]
)
def test_options_that_would_change_the_graph(option: dict[str, object], copy: Path) -> None:
    refuse(copy, ExportError, "is not for graphs of optimum, which are taken as they are", ExportOptions(**option))  # type: ignore[arg-type]


def test_the_hub_sends_one_variant(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph_folders.in_own_folder(copy)
    # Weights beside the graph: the cache of the hub is made of links, which ONNX does not follow.
    model = onnx.load(copy / "onnx" / "model_fp16.onnx")
    onnx.save(model, copy / "onnx" / "model_fp16.onnx", save_as_external_data=True, location="model_fp16.onnx_data")
    with fake_hub.serve("someone/graphs", copy) as (address, downloaded):
        for name, value in {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path / "hub"),
            "HF_HUB_DISABLE_XET": "1",
        }.items():
            monkeypatch.setenv(name, value)
        done = run_export("someone/graphs", tmp_path / "models", "--variant", "fp16")
        missing = run_export("someone/graphs", tmp_path / "models", "--variant", "q4")
    assert done.returncode == 0, done.stderr
    assert {name for name in downloaded if "onnx" in name} == {"model_fp16.onnx", "model_fp16.onnx_data"}
    assert missing.returncode == 1
    assert "has none of these; the variants fp32, fp16, quantized are complete" in missing.stderr
