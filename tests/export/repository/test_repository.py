"""What an export leaves in a Triton repository."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from asr_export import ExportOptions, ExportResult, OutputError, export_checkpoint
from asr_export.checkpoint.labels import Labels
from asr_export.graph import trace as graph
from asr_export.repository.model_folder import read_config, template_folder
from asr_export.repository.models import Deployment, write_models
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

LABELS = Labels(["<pad>", "|", "A"], 0, 1, False, False, 16_000, 320, 400)
DEPLOYMENT = Deployment(max_batch_size=4, max_queue=16, max_audio_seconds=30, min_samples=400, labels=LABELS)


@pytest.fixture
def graph_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "graph"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"a graph")
    return folder


def write(output: Path, graph_folder: Path, name: str = "asr", deployment: Deployment = DEPLOYMENT) -> None:
    write_models(output, name, graph_folder, deployment, {"source": name})


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


MODELS = {"asr", "preprocess", "acoustic", "ctc_decode", "asr_long", "asr_stream"}
CALLERS = {"asr_long", "asr_stream"}


@pytest.mark.parametrize("model", ["asr", "preprocess", "acoustic", "ctc_decode"])
def test_the_checked_in_configurations_are_valid(model: str) -> None:
    config = read_config(template_folder() / model)
    assert config.name == model
    assert config.max_batch_size >= 16
    if model != "asr":
        assert config.HasField("dynamic_batching")
        assert config.instance_group


def test_an_export_is_a_whole_repository(exported: ExportResult) -> None:
    found = files(exported.output)
    assert {name.split("/")[0] for name in found} == MODELS
    assert {"acoustic/1/model.onnx", "ctc_decode/labels.json", "preprocess/1/model.py", "asr/export.json"} <= set(found)
    acoustic = read_config(exported.output / "acoustic")
    assert acoustic.input[0].allow_ragged_batch
    assert [list(output.dims) for output in acoustic.output] == [[-1, 32], [1]]


def test_export_json_tells_where_everything_came_from(exported: ExportResult) -> None:
    report = json.loads((exported.output / "asr" / "export.json").read_text())
    assert report["architecture"] == "Wav2Vec2ForCTC"
    assert len(report["files_sha256"]["model.safetensors"]) == 64
    assert report["parity"]["max_abs_difference"] <= 1e-4
    assert report["padding_safe"] is True
    assert {"torch", "transformers", "onnx", "triton-asr-kit"} <= report["versions"].keys()
    assert report["models"]["ensemble"] == "asr"


def test_long_recordings_and_streams_go_to_the_exports_own_models(graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    write(output, graph_folder, "en", replace(DEPLOYMENT, max_audio_seconds=15, max_streams=40))
    config = read_config(output / "en_long")
    settings = {key: value.string_value for key, value in config.parameters.items()}
    assert config.name == "en_long"
    assert config.model_transaction_policy.decoupled
    assert (settings["acoustic"], settings["ctc_decode"]) == ("en_acoustic", "en_ctc_decode")
    assert (settings["sampling_rate"], settings["window_seconds"]) == ("16000", "15")
    assert (output / "en_long" / "labels.json").read_bytes() == (output / "en_ctc_decode" / "labels.json").read_bytes()
    streams = {key: value.string_value for key, value in read_config(output / "en_stream").parameters.items()}
    assert (streams["acoustic"], streams["ctc_decode"]) == ("en_acoustic", "en_ctc_decode")
    assert (streams["longest_seconds"], streams["max_streams"]) == ("15", "40")
    assert not any(path.is_symlink() for path in output.rglob("*"))


def test_an_engine_takes_neither_long_recordings_nor_streams(graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    write(output, graph_folder)
    write(output, graph_folder, deployment=replace(DEPLOYMENT, buckets=(16_000, 640_000)))
    assert {path.name for path in output.iterdir()} == MODELS - CALLERS


def test_two_exports_share_preprocess_and_keep_what_is_there(graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    (output / "resnet" / "1").mkdir(parents=True)
    (output / "resnet" / "config.pbtxt").write_text('name: "resnet"')
    write(output, graph_folder, "en")
    first = files(output)
    write(output, graph_folder, "pt")
    assert {path.name for path in output.iterdir()} == {
        "resnet", "preprocess", "en", "en_acoustic", "en_ctc_decode", "en_long", "en_stream",
        "pt", "pt_acoustic", "pt_ctc_decode", "pt_long", "pt_stream",
    }  # fmt: skip
    changed = {name for name, content in files(output).items() if name in first and content != first[name]}
    assert changed == {"preprocess/config.pbtxt"}
    feeds = read_config(output / "preprocess").parameters["feeds"].string_value
    assert feeds == "en_acoustic=16,pt_acoustic=16"
    steps = [step.model_name for step in read_config(output / "pt").ensemble_scheduling.step]
    assert steps == ["preprocess", "pt_acoustic", "pt_ctc_decode"]
    assert read_config(output / "pt_acoustic").name == "pt_acoustic"


def test_a_model_with_other_limits_gets_a_preprocess_of_its_own(graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    write(output, graph_folder, "en")
    telephone = replace(DEPLOYMENT, labels=replace(LABELS, sampling_rate=8_000))
    write(output, graph_folder, "call", telephone)
    assert read_config(output / "preprocess").parameters["sampling_rate"].string_value == "16000"
    assert read_config(output / "call_preprocess").parameters["sampling_rate"].string_value == "8000"
    assert read_config(output / "call").ensemble_scheduling.step[0].model_name == "call_preprocess"


def test_an_export_again_replaces_its_own_models(graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    write(output, graph_folder)
    write(output, graph_folder, deployment=replace(DEPLOYMENT, max_batch_size=8, max_audio_seconds=60))
    assert {path.name for path in output.iterdir()} == MODELS
    assert read_config(output / "acoustic").max_batch_size == 8
    assert read_config(output / "preprocess").parameters["max_audio_seconds"].string_value == "60"


def test_a_batch_larger_than_the_templates_widens_preprocess(graph_folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "models", graph_folder, deployment=replace(DEPLOYMENT, max_batch_size=128))
    assert {read_config(tmp_path / "models" / name).max_batch_size for name in MODELS - CALLERS} == {128}


def test_a_shared_preprocess_keeps_its_configuration_and_gets_this_kits_code(
    graph_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "models"
    write(output, graph_folder, "large", replace(DEPLOYMENT, max_batch_size=100))
    config = output / "preprocess" / "config.pbtxt"
    config.write_text(config.read_text().replace("count: 2", "count: 7"))  # tuned by hand
    code = output / "preprocess" / "1" / "model.py"
    code.write_text("raise SystemExit('of an older kit')")
    write(output, graph_folder, "small")
    assert code.read_bytes() == (template_folder() / "preprocess" / "1" / "model.py").read_bytes()
    tuned = read_config(output / "preprocess")
    assert (tuned.max_batch_size, tuned.instance_group[0].count) == (100, 7)


def test_a_preprocess_of_an_earlier_version_gets_the_new_tensors(graph_folder: Path, tmp_path: Path) -> None:
    write(tmp_path, graph_folder, "one")
    new = read_config(tmp_path / "preprocess")
    old = model_config_pb2.ModelConfig()
    old.CopyFrom(new)
    del old.output[[output.name for output in old.output].index("speech")]
    (tmp_path / "preprocess" / "config.pbtxt").write_text(text_format.MessageToString(old))
    write(tmp_path, graph_folder, "two")
    config = read_config(tmp_path / "preprocess")
    assert list(config.output) == list(new.output)


def test_the_models_that_hear_carry_the_voice_detector_with_its_licence(exported: ExportResult) -> None:
    carrying = {path.relative_to(exported.output).parts[0] for path in exported.output.rglob("silero_vad.onnx")}
    assert carrying == {"preprocess", *CALLERS}
    for model in carrying:
        folder = exported.output / model / "1" / "asr_serving" / "audio"
        assert "MIT License" in (folder / "silero_vad.LICENSE").read_text()


@pytest.mark.parametrize("shared", ["a model of its own", 'name: "preprocess" parameters { key: "mine" }'])
def test_a_foreign_preprocess_is_not_replaced(shared: str, graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    (output / "preprocess").mkdir(parents=True)
    file = output / "preprocess" / ("model.py" if shared.startswith("a") else "config.pbtxt")
    file.write_text(shared)
    write(output, graph_folder)
    assert file.read_text() == shared
    assert read_config(output / "asr").ensemble_scheduling.step[0].model_name == "asr_preprocess"


def test_neither_is_a_foreign_model_where_an_own_preprocess_would_go(graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    for name in ("preprocess", "asr_preprocess"):
        (output / name).mkdir(parents=True)
        (output / name / "mine").write_text("mine")
    with pytest.raises(OutputError, match="already holds asr_preprocess"):
        write(output, graph_folder)
    assert {path.name for path in output.iterdir()} == {"preprocess", "asr_preprocess"}


def test_a_foreign_model_of_that_name_is_not_replaced(graph_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "models"
    (output / "acoustic").mkdir(parents=True)
    (output / "acoustic" / "mine").write_text("mine")
    with pytest.raises(OutputError, match="already holds acoustic, which no export called 'asr' wrote"):
        write(output, graph_folder)
    assert files(output) == {"acoustic/mine": b"mine"}


@pytest.mark.parametrize("name", ["", "a/b", "..", "acoustic", "en_preprocess", "-x", "two words"])
def test_a_name_that_triton_cannot_take(name: str, graph_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="--name is"):
        write(tmp_path / "models", graph_folder, name)
    assert not (tmp_path / "models").exists()


def test_an_output_that_is_a_file(graph_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        write(tmp_path / "models", graph_folder)


def test_a_failure_half_way_puts_back_what_was_there(
    graph_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "models"
    write(output, graph_folder)
    before = files(output)
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda path, to: _fail() if path.match("new/ctc_decode") else rename(path, to))
    with pytest.raises(OutputError, match="cannot write to .*disk is full"):
        write(output, graph_folder, deployment=replace(DEPLOYMENT, max_batch_size=8))
    monkeypatch.undo()
    assert files(output) == before
    assert [path.name for path in output.iterdir() if path.name.startswith(".")] == []


def _fail() -> None:
    raise OSError("the disk is full")


def test_a_large_model_keeps_its_weights_beside_the_graph(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "EXTERNAL_DATA_FROM_BYTES", 50_000)
    export_checkpoint(str(tiny_checkpoint("hubert-group-norm")), tmp_path, ExportOptions(name="big"))
    assert {path.name for path in (tmp_path / "big_acoustic" / "1").iterdir()} == {"model.onnx", "model.onnx.data"}
    onnx.checker.check_model(tmp_path / "big_acoustic" / "1" / "model.onnx")


def test_written_configurations_can_be_read_by_triton(exported: ExportResult) -> None:
    for path in exported.output.glob("*/config.pbtxt"):
        text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


@pytest.mark.parametrize(("max_queue", "in_preprocess"), [(4, 16), (100, 100)])
def test_queues_are_bounded_by_preprocess_as_the_export_says(
    tmp_path: Path, graph_folder: Path, max_queue: int, in_preprocess: int
) -> None:
    write(tmp_path / "models", graph_folder, deployment=replace(DEPLOYMENT, max_queue=max_queue))
    preprocess, *others = (
        read_config(tmp_path / "models" / model) for model in ("preprocess", "acoustic", "ctc_decode")
    )
    assert preprocess.parameters["feeds"].string_value == f"acoustic={max_queue}"
    assert preprocess.dynamic_batching.default_queue_policy.max_queue_size == in_preprocess
    assert preprocess.dynamic_batching.default_queue_policy.allow_timeout_override
    assert not any(config.dynamic_batching.HasField("default_queue_policy") for config in others)


def test_a_preprocess_with_too_short_a_queue_is_not_shared(tmp_path: Path, graph_folder: Path) -> None:
    write(tmp_path / "models", graph_folder, "one")
    write(tmp_path / "models", graph_folder, "two", replace(DEPLOYMENT, max_queue=100))
    assert (tmp_path / "models" / "two_preprocess").is_dir()
