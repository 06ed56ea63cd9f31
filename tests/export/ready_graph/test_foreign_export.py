"""Ready graphs in a repository: what is heard is what the graph as it came says of each recording alone."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import foreign_graphs as foreign
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from asr_contract.labels import Labels
from asr_export import ExportOptions, ExportResult, GraphOptions, export_graph
from asr_export.graph.feeds import equal_feed, ragged_feed
from asr_export.graph.gate import run_graph, synthetic_speech
from asr_export.repository.inspection import inspect_repository
from asr_export.repository.model_folder import read_config
from decode import decode
from tritonclient.grpc import model_config_pb2

N = len(foreign.CHARACTERS)
LENGTHS = torch.tensor([4_000, 3_600])
NEMO = [" ", "e", "t", "a", "o", "n", "i", "h", "s", "r", "d", "l", "u"]


@dataclass(frozen=True)
class Case:
    """A graph, its labels, and what the export should find."""

    model: Callable[[], torch.nn.Module]
    padding_safe: bool
    written: dict[str, Any] = field(default_factory=dict)  # of foreign_graphs.write
    labels: list[str] = field(default_factory=lambda: foreign.CHARACTERS)
    blank: str | None = None
    blank_column: int = 0
    layout: tuple[int, int, int] = (0, 1, 2)
    space: str = "|"


CASES = {
    "waveform only": Case(lambda: foreign.WaveformOnly(N), False),
    "lengths, masked": Case(lambda: foreign.WithLengths(N), True, {"lengths": LENGTHS}),
    "lengths, but they change nothing": Case(lambda: foreign.Ignorant(N), False, {"lengths": LENGTHS, "opset": 11}),
    "lengths in, none out": Case(
        lambda: foreign.WithLengthsIn(N), True, {"lengths": LENGTHS[:, None], "channel": True, "opset": 13}
    ),
    "labels before frames": Case(
        lambda: foreign.WithLengths(N, layout=(0, 2, 1), values="log_probs"),
        True,
        {"lengths": LENGTHS, "axes": (0, 2)},
        layout=(0, 2, 1),
    ),
    "frames first, probabilities, int32": Case(
        lambda: foreign.WithLengths(N, layout=(1, 0, 2), values="probabilities"),
        True,
        {"lengths": LENGTHS.to(torch.int32), "axes": (1, 0), "opset": 20},
        layout=(1, 0, 2),
    ),
    "items last": Case(
        lambda: foreign.WithLengths(N, layout=(1, 2, 0)), True, {"lengths": LENGTHS, "axes": (2, 0)}, layout=(2, 0, 1)
    ),
    "pieces": Case(
        lambda: foreign.WaveformOnly(N, values="log_probs"), False, labels=foreign.PIECES, space=foreign.PIECES[6]
    ),
    "blank last and without a label": Case(
        lambda: foreign.WithLengths(N), True, {"lengths": LENGTHS}, NEMO, blank="13", blank_column=13, space=" "
    ),
}


def export(case: Case, folder: Path, name: str = "asr") -> ExportResult:
    graph = foreign.write(case.model(), folder / "source.onnx", **case.written)
    labels = foreign.write_labels(case.labels, folder / "labels.txt")
    return export_graph(graph, folder / "models", GraphOptions(labels, foreign.RATE, case.blank), ExportOptions(name))


def spelled(case: Case, graph: Path, wave: np.ndarray) -> str:
    """The transcript by the book: the graph as it came, best label of each frame, repeats and blanks out."""
    session = onnxruntime.InferenceSession(graph)
    feed: dict[str, np.ndarray] = {"x": wave[None, None] if case.written.get("channel") else wave[None]}
    for given in session.get_inputs()[1:]:
        dtype = np.int32 if given.type == "tensor(int32)" else np.int64
        feed[given.name] = np.full((1, 1) if len(given.shape) == 2 else (1,), len(wave), dtype)
    scores = session.run(["y"], feed)[0].transpose(case.layout)[0]
    best = [column for column, _ in itertools.groupby(scores.argmax(axis=1).tolist())]
    text = "".join(case.labels[column] for column in best if column != case.blank_column)
    return text.replace(case.space, " ").strip()


@pytest.mark.parametrize("name", CASES)
def test_every_recording_is_heard_as_the_graph_hears_it_alone(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    result = export(case, tmp_path)
    assert result.padding_safe == case.padding_safe
    session = onnxruntime.InferenceSession(result.output / "acoustic" / "1" / "model.onnx")
    labels = Labels.load(result.output / "ctc_decode" / "labels.json")
    random = np.random.default_rng(7)
    lengths = [9_000, 400, 33_333, 16_000, 721] if case.padding_safe else [20_001] * 4
    waves = [synthetic_speech(random, length, foreign.RATE) for length in lengths]
    answers = run_graph(session, waves, ragged_feed if case.padding_safe else equal_feed)
    heard = decode(answers, [len(answer) for answer in answers], labels)
    assert [one.text for one in heard] == [spelled(case, tmp_path / "source.onnx", wave) for wave in waves]
    assert max(len(one.text) for one in heard) > 10
    for answer in answers:
        np.testing.assert_allclose(np.exp(answer).sum(axis=1), 1, atol=1e-4)
    for one in heard:
        assert [word.word for word in one.words] == one.text.split()


def test_a_graph_into_which_padding_leaks_is_never_padded(tmp_path: Path) -> None:
    result = export(CASES["waveform only"], tmp_path, "en")
    config = read_config(result.output / "en_acoustic")
    assert [(tensor.name, list(tensor.dims), tensor.allow_ragged_batch) for tensor in config.input] == [
        ("audio", [-1], False)
    ]
    assert not config.batch_input
    assert config.HasField("dynamic_batching")
    model = onnx.load(result.output / "en_acoustic" / "1" / "model.onnx").graph
    assert [value.name for value in model.input] == ["audio"]


def test_a_graph_that_is_exact_under_padding_shares_batches(tmp_path: Path) -> None:
    result = export(CASES["lengths, masked"], tmp_path)
    config = read_config(result.output / "acoustic")
    assert config.input[0].allow_ragged_batch
    assert config.batch_input[0].target_name == ["audio_shape"]


def test_a_graph_for_a_gpu_alone_keeps_its_precision(tmp_path: Path) -> None:
    graph = foreign.write(foreign.WaveformOnly(N), tmp_path / "source.onnx")
    labels = foreign.write_labels(foreign.CHARACTERS, tmp_path / "labels.txt")
    options = ExportOptions(gpu=True)
    result = export_graph(graph, tmp_path / "models", GraphOptions(labels, foreign.RATE), options)
    (group,) = read_config(result.output / "acoustic").instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert json.loads((result.output / "asr" / "export.json").read_text())["precision"] == "fp32"


def test_the_report_says_what_was_found(tmp_path: Path) -> None:
    result = export(CASES["lengths, but they change nothing"], tmp_path)
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert (report["architecture"], report["padding_safe"]) == ("ONNX graph", False)
    assert "differ" in report["padding_leak"]
    assert report["files_sha256"].keys() == {"source.onnx", "labels.txt"}
    assert report["found"]["rule"] == {"stride": 320, "offset": -80}
    assert report["found"]["min_samples"] == 400
    assert (result.labels.stride_samples, result.labels.receptive_field_samples) == (foreign.STRIDE, foreign.FIELD)
    settings = read_config(result.output / "preprocess").parameters
    assert settings["min_samples"].string_value == "400"
    (facts,) = inspect_repository(result.output)
    assert (facts.architecture, facts.padding_safe, facts.labels) == ("ONNX graph", False, foreign.CHARACTERS)


class Recurrent(foreign.WaveformOnly):
    """An LSTM over the frames, as in DeepSpeech."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.lstm = torch.nn.LSTM(columns, columns, bidirectional=True, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = super().forward(x)
        left, right = self.lstm(rows)[0].chunk(2, dim=2)
        return rows + 3 * left + 3 * right


def test_operators_that_tensorrt_does_not_take_are_told_and_no_obstacle(tmp_path: Path) -> None:
    result = export(Case(lambda: Recurrent(N), False), tmp_path)
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert report["operators_outside_tensorrt"] == ["LSTM"]


def test_frames_centred_on_multiples_of_their_stride(tmp_path: Path) -> None:
    result = export(Case(lambda: foreign.Spectrogram(N), False), tmp_path)
    labels = Labels.load(result.output / "ctc_decode" / "labels.json")
    assert (labels.stride_samples, labels.receptive_field_samples) == (640, 0)
    # The edges before and after frame 3 lie half a stride from its centre, 3 x 640 samples.
    np.testing.assert_allclose(labels.seconds(np.array([3.0, 4.0])), np.array([1600, 2240]) / foreign.RATE)
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert report["found"]["min_samples"] == 257  # half a window is reflected at either end


def test_weights_beside_the_graph(tmp_path: Path) -> None:
    case = CASES["lengths, masked"]
    model = onnx.load(foreign.write(case.model(), tmp_path / "whole.onnx", **case.written))
    source = tmp_path / "split.onnx"
    onnx.save(model, source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    labels = foreign.write_labels(case.labels, tmp_path / "labels.txt")
    result = export_graph(source, tmp_path / "models", GraphOptions(labels, foreign.RATE))
    assert [path.name for path in (result.output / "acoustic" / "1").iterdir()] == ["model.onnx"]
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert "weights.bin" in report["files_sha256"]
    assert (tmp_path / "weights.bin").stat().st_size > 1_000  # it is the user's, and still there


@pytest.mark.parametrize("opset", [21, 22])
def test_a_newer_opset(opset: int, tmp_path: Path) -> None:
    case = CASES["lengths, masked"]
    model = onnx.load(foreign.write(case.model(), tmp_path / "old.onnx", **case.written))
    model = onnx.version_converter.convert_version(model, opset)
    model.ir_version = 11
    onnx.save(model, tmp_path / "new.onnx")
    labels = foreign.write_labels(case.labels, tmp_path / "labels.txt")
    result = export_graph(tmp_path / "new.onnx", tmp_path / "models", GraphOptions(labels, foreign.RATE))
    written = onnx.load(result.output / "acoustic" / "1" / "model.onnx")
    assert ([entry.version for entry in written.opset_import], written.ir_version) == ([21], 10)


def test_weights_that_are_inputs_too_as_before_ir_4(tmp_path: Path) -> None:
    case = CASES["waveform only"]
    model = onnx.load(foreign.write(case.model(), tmp_path / "new.onnx"))
    for weight in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    onnx.save(model, tmp_path / "old.onnx")
    labels = foreign.write_labels(case.labels, tmp_path / "labels.txt")
    export_graph(tmp_path / "old.onnx", tmp_path / "models", GraphOptions(labels, foreign.RATE))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "triton_asr", "export", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def test_the_command(tmp_path: Path) -> None:
    graph = foreign.write(foreign.WaveformOnly(N), tmp_path / "Source.ONNX")
    labels = foreign.write_labels(foreign.CHARACTERS, tmp_path / "labels.txt")
    output = str(tmp_path / "models")
    done = command(str(graph), "--labels", str(labels), "--sample-rate", "16000", "--delimiter", "E", "-o", output)
    assert done.returncode == 0, done.stderr
    assert "padding leaks" in done.stderr
    assert "equal lengths only" in done.stdout
    assert "parity with the graph as it came" in done.stdout
    assert json.loads((tmp_path / "models" / "ctc_decode" / "labels.json").read_text())["delimiter"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["g.onnx"], "g.onnx is a ready graph, which needs --labels and --sample-rate"),
        (["g.onnx", "--labels", "l.txt"], "g.onnx is a ready graph, which needs --sample-rate"),
        (["demo/checkpoint", "--sample-rate", "16000"], "are for a ready graph"),
        (["demo/checkpoint", "--labels", "l.txt", "--sample-rate", "16000"], "are for a ready graph"),
        (["demo/checkpoint", "--blank", "0"], "demo/checkpoint is taken for a checkpoint"),
    ],
)
def test_options_of_the_other_kind(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = command(*arguments, "-o", str(tmp_path / "models"))
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "models").exists()
