"""A Whisper checkpoint through the whole export."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from asr_export import (
    CheckpointError,
    ExportError,
    ExportOptions,
    ExportResult,
    GateError,
    OutputError,
    UnsupportedCheckpoint,
    export_checkpoint,
)
from asr_export.checkpoint import labels
from asr_export.checkpoint.loading import locate
from asr_export.repository.inspection import inspect_repository
from asr_export.repository.model_folder import read_config
from asr_export.whisper import artefacts, checkpoint
from asr_export.whisper import gate as whisper_gate
from transformers import AutoTokenizer, WhisperForConditionalGeneration
from tritonclient.grpc import model_config_pb2


@pytest.fixture(scope="module")
def exported(whisper_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """Copy it before you change it."""
    output = tmp_path_factory.mktemp("exported") / "models"
    return export_checkpoint(str(whisper_checkpoint("multilingual")), output, ExportOptions(name="whisper"))


@pytest.fixture
def copy(whisper_checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A checkpoint to be changed."""
    return Path(shutil.copytree(whisper_checkpoint("multilingual"), tmp_path / "checkpoint"))


@pytest.fixture
def graphs(whisper_artefacts: Callable[[str], Path], tmp_path: Path) -> Path:
    """What an export wrote for such a checkpoint, to be changed."""
    return Path(shutil.copytree(whisper_artefacts("multilingual"), tmp_path / "artefacts"))


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    content = {**json.loads(path.read_text(encoding="utf-8")), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf-8")


def test_the_models_of_a_repository(exported: ExportResult) -> None:
    assert sorted(path.name for path in exported.output.iterdir()) == [
        "preprocess",
        "whisper",
        "whisper_long",
        "whisper_stream",
        "whisper_whisper_generate",
    ]
    front = read_config(exported.output / "whisper")
    called = [front.parameters[name].string_value for name in ("preprocess", "whisper_generate")]
    assert called == ["preprocess", "whisper_whisper_generate"]
    texts = ["TRANSCRIPT", "CONFIDENCE", "DURATION", "WORDS", "LANGUAGE", "SEGMENTS"]
    assert [output.name for output in front.output] == texts
    window = read_config(exported.output / "whisper_whisper_generate").input[0]
    assert (window.name, list(window.dims)) == ("features", [80, 200])
    preprocess = read_config(exported.output / "preprocess").parameters
    assert (preprocess["min_samples"].string_value, preprocess["max_audio_seconds"].string_value) == ("1", "600")
    assert (exported.output / "whisper_whisper_generate" / "1" / "encoder.onnx").is_file()


def test_the_report_and_its_parity(exported: ExportResult) -> None:
    report = json.loads((exported.output / "whisper" / "export.json").read_text(encoding="utf-8"))
    assert report["architecture"] == "WhisperForConditionalGeneration"
    assert report["versions"].keys() >= {"torch", "transformers", "tokenizers"}
    assert report["files_sha256"].keys() >= {"generation_config.json", "model.safetensors", "tokenizer.json"}
    assert report["parity"]["max_abs_difference"] == exported.parity.max_abs_difference <= 1e-4
    assert exported.parity.max_abs_batch_difference <= 1e-4
    assert exported.parity.argmax_agreement == 1


def test_attention_of_the_encoder_is_one_operator(exported: ExportResult, copy: Path) -> None:
    graph = onnx.load(exported.output / "whisper_whisper_generate" / "1" / "encoder.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("MultiHeadAttention") == checkpoint.load(locate(str(copy))).config.encoder_layers
    assert "Softmax" not in kinds


@pytest.mark.parametrize("graph", ["encoder.onnx", "decoder.onnx"])
def test_triton_24_10_loads_the_graphs(graph: str, exported: ExportResult) -> None:
    model = onnx.load(exported.output / "whisper_whisper_generate" / "1" / graph)
    assert model.opset_import[0].version <= 21
    assert model.ir_version <= 10


def test_inspection(exported: ExportResult) -> None:
    (model,) = inspect_repository(exported.output)
    assert (model.name, model.labels) == ("whisper", [])
    assert {"en", "de", "yue"} <= set(model.languages)
    assert [graph.path.stem for graph in model.graphs] == ["decoder", "encoder"]
    assert [graph.outside_tensorrt for graph in model.graphs] == [[], ["MultiHeadAttention"]]
    command = [sys.executable, "-m", "triton_asr", "inspect", str(exported.output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "100 languages: af am" in done.stdout


def test_another_kind_under_the_same_name_takes_its_place(
    exported: ExportResult, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    output = Path(shutil.copytree(exported.output, tmp_path / "models"))
    export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), output, ExportOptions(name="whisper"))
    assert sorted(path.name for path in output.iterdir()) == [
        "preprocess",
        "whisper",
        "whisper_acoustic",
        "whisper_ctc_decode",
        "whisper_long",
        "whisper_stream",
    ]


def test_a_language_is_the_requests_to_name(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="a request names its language"):
        export_checkpoint(str(copy), tmp_path / "models", ExportOptions(language="de"))


def test_a_name_that_a_step_would_have_is_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="an end other than .*whisper_generate"):
        export_checkpoint(str(copy), tmp_path / "models", ExportOptions(name="my_whisper_generate"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"no_timestamps_token_id": None}, "no_timestamps_token_id None; needs one token id"),
        ({"eos_token_id": [1, 2]}, r"eos_token_id \[1, 2\]; needs one token id"),
        ({"lang_to_id": None}, "names neither its languages"),
        ({"task_to_id": None}, "no task_to_id for transcribe, translate"),
        ({"repetition_penalty": 1.2}, "repetition_penalty 1.2, which the decode step does not know"),
        ({"no_repeat_ngram_size": 3}, "no_repeat_ngram_size 3"),
        ({"is_multilingual": False, "forced_decoder_ids": [[1, 5]]}, r"\[\[1, 5\]\]; needs <\|notimestamps\|> alone"),
        ({"is_multilingual": False, "language": "en"}, "has is_multilingual false, and a language"),
        ({"forced_decoder_ids": [[2, 5]]}, r"forces the tokens \[\[2, 5\]\]; needs 1: a language or null, 2: a task"),
        ({"forced_decoder_ids": [[1, None], [2, 5]]}, "forces the tokens"),
        ({"forced_decoder_ids": [1, 2]}, r"forces the tokens \[1, 2\]"),
        ({"language": "klingon"}, "has language 'klingon'; needs one of its own lang_to_id"),
        ({"task": "summarize"}, "has task 'summarize'; needs transcribe or translate"),
        ({"watermarking_config": {"bias": 2.0}}, "watermarking_config"),
    ],
)
def test_settings_that_the_decode_step_cannot_follow(values: dict[str, Any], message: str, copy: Path) -> None:
    change(copy / "generation_config.json", **values)
    with pytest.raises(UnsupportedCheckpoint, match=message):
        checkpoint.load(locate(str(copy)))


@pytest.mark.parametrize(
    ("file", "values", "error", "message"),
    [
        ("config.json", {"architectures": ["WhisperModel"]}, UnsupportedCheckpoint, "needs WhisperForConditional"),
        ("preprocessor_config.json", {"chunk_length": 9}, CheckpointError, "900 frames of 80 mel bands; .* 200 of 80"),
        ("preprocessor_config.json", {"dither": 0.1}, UnsupportedCheckpoint, "dither 0.1"),
    ],
)
def test_parts_that_do_not_fit(
    file: str, values: dict[str, Any], error: type[Exception], message: str, copy: Path
) -> None:
    change(copy / file, **values)
    with pytest.raises(error, match=message):
        checkpoint.load(locate(str(copy)))


def test_a_missing_generation_config(copy: Path) -> None:
    (copy / "generation_config.json").unlink()
    with pytest.raises(CheckpointError, match="has no generation_config.json"):
        checkpoint.load(locate(str(copy)))


GERMAN, TRANSLATE, PLAIN = "<|de|>", "<|translate|>", "<|notimestamps|>"


def forced(folder: Path, *tokens: str | None) -> list[list[int | None]]:
    """As a checkpoint has them."""
    ids = AutoTokenizer.from_pretrained(folder).get_vocab()
    return [[position, ids[token] if token else None] for position, token in enumerate(tokens, 1)]


@pytest.mark.parametrize(
    ("values", "language", "task"),
    [
        ({}, None, "transcribe"),
        ({"language": "<|de|>", "task": "translate"}, "de", "translate"),
        ({"language": "hindi"}, "hi", "transcribe"),
    ],
)
def test_the_checkpoints_own_language_is_the_default(
    values: dict[str, Any], language: str | None, task: str, copy: Path
) -> None:
    change(copy / "generation_config.json", **values)
    settings = checkpoint.load(locate(str(copy))).settings
    assert (settings.language, settings.task) == (language, task)


@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
@pytest.mark.parametrize(
    ("tokens", "language", "task"),
    [
        ((GERMAN, TRANSLATE, PLAIN), "de", "translate"),
        ((GERMAN, TRANSLATE), "de", "translate"),
        ((None, TRANSLATE), None, "translate"),
        ((GERMAN,), "de", None),
        ((None,), None, None),
    ],
)
def test_forced_tokens_are_the_default_and_decode_as_generate_does(
    file: str, tokens: tuple[str | None, ...], language: str | None, task: str | None, copy: Path, graphs: Path
) -> None:
    change(copy / file, forced_decoder_ids=forced(copy, *tokens))
    loaded = checkpoint.load(locate(str(copy)))
    assert (loaded.settings.language, loaded.settings.task) == (language, task)
    (graphs / "whisper.json").write_text(json.dumps(asdict(loaded.settings)), encoding="utf-8")
    whisper_gate.check_artefacts(graphs, loaded)  # against generate(), which is told neither


def test_forced_tokens_of_config_json_come_after_those_of_generation_config_json(copy: Path) -> None:
    change(copy / "config.json", forced_decoder_ids=forced(copy, GERMAN, TRANSLATE))
    change(copy / "generation_config.json", forced_decoder_ids=forced(copy, "<|fr|>", "<|transcribe|>"))
    settings = checkpoint.load(locate(str(copy))).settings
    assert (settings.language, settings.task) == ("fr", "transcribe")


def test_the_gate_sees_a_forced_language_that_is_dropped(copy: Path, graphs: Path) -> None:
    change(copy / "generation_config.json", forced_decoder_ids=forced(copy, GERMAN, TRANSLATE, PLAIN))
    with pytest.raises(GateError, match="the transcript of .* samples .*; generate"):
        whisper_gate.check_artefacts(graphs, checkpoint.load(locate(str(copy))))


@pytest.mark.parametrize(
    "values",
    [
        {"num_beams": 5, "length_penalty": 2.0, "early_stopping": True},
        {"do_sample": True, "temperature": 0.7, "top_k": 10},
        {"temperature": [0.0, 0.2], "logprob_threshold": -1.0, "no_speech_threshold": 0.6, "return_timestamps": True},
        {"num_return_sequences": 2, "return_dict_in_generate": True},
    ],
)
def test_beams_and_sampling_are_left_aside(values: dict[str, Any], copy: Path, graphs: Path) -> None:
    change(copy / "generation_config.json", **values)
    loaded = checkpoint.load(locate(str(copy)))
    assert loaded.left_aside == values
    whisper_gate.check_artefacts(graphs, loaded)


def test_the_export_tells_what_it_leaves_aside(copy: Path, tmp_path: Path) -> None:
    change(copy / "generation_config.json", num_beams=5, do_sample=True)
    command = [sys.executable, "-m", "triton_asr", "export", str(copy), "-o", str(tmp_path / "models")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "ignoring do_sample true, num_beams 5 of generation_config.json, because the service" in done.stderr
    report = json.loads((tmp_path / "models" / "asr" / "export.json").read_text(encoding="utf-8"))
    assert report["left_aside"] == {"do_sample": True, "num_beams": 5}


@pytest.mark.parametrize(("asks_for_clean_up", "also_for_bpe"), [(True, True), (True, False), (False, False)])
def test_the_tokenizer_decodes_by_itself_as_transformers_does(
    asks_for_clean_up: bool, also_for_bpe: bool, copy: Path
) -> None:
    settings = {"clean_up_tokenization_spaces": asks_for_clean_up, labels._FOR_BPE: also_for_bpe}
    change(copy / "tokenizer_config.json", **settings)
    tokenizer = checkpoint.load(locate(str(copy))).tokenizer
    plain = artefacts.plain_tokenizer(tokenizer)
    random = np.random.default_rng(0)
    texts = ["Mister Quilter , isn 't he ? 東京 ! <|1.00|> a . b", "I 'm , we 've ' a ' n't"]
    rows = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    rows += [random.integers(0, len(tokenizer), 60).tolist() for _ in range(40)]
    for ids in rows:
        assert plain.decode(ids, skip_special_tokens=True) == tokenizer.batch_decode([ids], skip_special_tokens=True)[0]
    assert (plain.decode(rows[0]) == plain.decode(rows[0]).replace(" ,", ",")) == also_for_bpe


@pytest.mark.parametrize(
    ("graph", "message"), [("encoder", "encoder outputs from PyTorch"), ("decoder", "logits from")]
)
def test_the_gate_sees_a_wrong_weight(
    graph: str, message: str, copy: Path, whisper_artefacts: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whisper_artefacts("multilingual"), tmp_path / "artefacts"))
    model = onnx.load(folder / f"{graph}.onnx")
    bias = next(found for found in model.graph.initializer if found.name.endswith("fc1.bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(0.05), bias.name))
    onnx.save(model, folder / f"{graph}.onnx")
    with pytest.raises(GateError, match=f"{message}.* differ by"):
        whisper_gate.check_artefacts(folder, checkpoint.load(locate(str(copy))))


def test_the_gate_sees_wrong_values_for_the_decoder(
    copy: Path, whisper_artefacts: Callable[[str], Path], tmp_path: Path
) -> None:
    """The encoder's keys and values are beside its outputs, and have only the logits to show an error."""
    folder = Path(shutil.copytree(whisper_artefacts("multilingual"), tmp_path / "artefacts"))
    model = onnx.load(folder / "encoder.onnx")
    maker = next(node for node in model.graph.node if "encoder.0.value" in node.output)
    maker.output[0] = "before"
    shift = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "shift")
    model.graph.initializer.append(shift)
    model.graph.node.append(onnx.helper.make_node("Add", ["before", "shift"], ["encoder.0.value"]))
    onnx.save(model, folder / "encoder.onnx")
    with pytest.raises(GateError, match="logits from.* differ by"):
        whisper_gate.check_artefacts(folder, checkpoint.load(locate(str(copy))))


def test_the_embedding_is_stored_once(exported: ExportResult, copy: Path) -> None:
    """It is the output layer, too, and more than half of a small checkpoint."""
    graphs = (exported.output / "whisper_whisper_generate" / "1").glob("*.onnx*")
    weights = sum(
        parameter.numel() * 4 for parameter in WhisperForConditionalGeneration.from_pretrained(copy).parameters()
    )
    shapes = 200_000  # of a graph without weights
    assert weights < sum(graph.stat().st_size for graph in graphs) < 1.02 * weights + shapes


@pytest.mark.parametrize(
    ("heads", "expected"),
    [([[1, 1], [0, 1]], [(0, 1), (1, 1)]), (None, [(1, 0), (1, 1)]), ([], [(1, 0), (1, 1)])],
)
def test_the_heads_that_follow_the_audio(
    heads: list[list[int]] | None, expected: list[tuple[int, int]], copy: Path
) -> None:
    change(copy / "generation_config.json", alignment_heads=heads)
    assert checkpoint.load(locate(str(copy))).alignment_heads == expected


@pytest.mark.parametrize(
    ("heads", "message"), [([[2, 0]], "the decoder has 2 layers of 2 heads"), ([3], "needs pairs of layer and head")]
)
def test_heads_that_the_decoder_does_not_have(heads: list[Any], message: str, copy: Path) -> None:
    change(copy / "generation_config.json", alignment_heads=heads)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(locate(str(copy)))


def test_large_encoder_outputs_round_more(copy: Path, tmp_path: Path) -> None:
    """Those of real checkpoints reach 24, and an absolute limit would refuse what PyTorch itself does no better."""
    model = WhisperForConditionalGeneration.from_pretrained(copy)
    with torch.no_grad():
        norm = model.model.encoder.layer_norm
        norm.weight.mul_(1_000)
        norm.bias.mul_(1_000)
        for layer in model.model.decoder.layers:  # hears the same
            layer.encoder_attn.k_proj.weight.div_(1_000)
            layer.encoder_attn.v_proj.weight.div_(1_000)
    model.save_pretrained(copy)
    result = export_checkpoint(str(copy), tmp_path / "models")
    assert result.parity.max_abs_difference <= 1e-4
    assert result.parity.max_encoder_share is not None
    assert 0 < result.parity.max_encoder_share <= 1e-5


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("suppress", list(range(200)), "the transcript of .* samples .*; generate"),
        ("hop_length", 161, "shapes"),
    ],
)
def test_the_gate_sees_wrong_settings(
    field: str, value: Any, message: str, copy: Path, whisper_artefacts: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whisper_artefacts("multilingual"), tmp_path / "artefacts"))
    settings = json.loads((folder / "whisper.json").read_text(encoding="utf-8"))
    (folder / "whisper.json").write_text(json.dumps({**settings, field: value}), encoding="utf-8")
    with pytest.raises(GateError, match=message):
        whisper_gate.check_artefacts(folder, checkpoint.load(locate(str(copy))))


def test_a_lag_of_attention_is_the_checkpoints(copy: Path, tmp_path: Path) -> None:
    export_checkpoint(str(copy), tmp_path / "models", ExportOptions(word_lag_ms=80))
    for model in ("asr", "asr_long", "asr_stream", "whisper_generate"):
        settings = json.loads((tmp_path / "models" / model / "1" / "whisper.json").read_text(encoding="utf-8"))
        assert (settings["word_times"], settings["word_lag_s"]) == (True, 0.08)
    with pytest.raises(ExportError, match="word lag is 900 ms; needs from -500 to 500"):
        export_checkpoint(str(copy), tmp_path / "models", ExportOptions(word_lag_ms=900))


def test_an_export_that_fails_leaves_nothing(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise GateError("no")

    monkeypatch.setattr("asr_export.whisper.pipeline.check_artefacts", fail)
    with pytest.raises(GateError):
        export_checkpoint(str(copy), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_command_prints_the_result_alone(whisper_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """The libraries that trace it print, too: to stderr."""
    output = tmp_path / "models"
    command = [sys.executable, "-m", "triton_asr", "export", str(whisper_checkpoint("english")), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == f"{output}: asr, preprocess, whisper_generate, asr_long, asr_stream"
    assert rest[0] == "a batch holds mixed lengths"
    assert [line.split()[0] for line in rest[1:]] == ["parity"]


def test_a_whisper_for_a_gpu_alone(whisper_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    export_checkpoint(
        str(whisper_checkpoint("english")), tmp_path / "models", ExportOptions(gpu=True, precision="fp32")
    )
    (model,) = inspect_repository(tmp_path / "models")
    assert all(graph.outside_tensorrt == [] for graph in model.graphs)
    (group,) = read_config(tmp_path / "models" / "whisper_generate").instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU


def test_what_a_whisper_has_no_option_for(whisper_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    useless = ({"platform": "tensorrt"}, {"language": "de"})
    for options in (ExportOptions(**option) for option in useless):
        with pytest.raises(ExportError, match="is not for Whisper"):
            export_checkpoint(str(whisper_checkpoint("english")), tmp_path / "models", options)
    assert list(tmp_path.iterdir()) == []
