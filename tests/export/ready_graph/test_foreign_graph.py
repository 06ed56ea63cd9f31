"""Ready graphs that cannot be served: what is said of each, and that nothing is written."""

from collections.abc import Callable, Sequence
from pathlib import Path

import foreign_graphs
import numpy as np
import onnx
import pytest
import torch
from asr_export import ExportError, ExportOptions, GateError, GraphError, GraphOptions, export_graph
from asr_export.ready_graph.behaviour import FrameRule
from asr_export.ready_graph.source import read
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
COLUMNS = len(foreign_graphs.CHARACTERS)
Dims = Sequence[int | str | None]
WAVE: tuple[int, Dims] = (FLOAT, ["n", "t"])
SCORES: tuple[int, Dims] = (FLOAT, ["n", "f", COLUMNS])


def declare(path: Path, inputs: dict[str, tuple[int, Dims]], outputs: dict[str, tuple[int, Dims]]) -> Path:
    """A graph of these inputs and outputs, which computes nothing: it is refused for what it declares."""
    constants = [
        helper.make_node("Constant", [], [name], value=helper.make_tensor(name, kind, [1] * len(dims), [1]))
        for name, (kind, dims) in outputs.items()
    ]
    graph = helper.make_graph(
        constants,
        "declared",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return foreign_graphs.write_labels(foreign_graphs.CHARACTERS, tmp_path / "labels.txt")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that fits. Copy it before you change it."""
    model = foreign_graphs.WithLengths(COLUMNS)
    path = tmp_path_factory.mktemp("sound") / "sound.onnx"
    return foreign_graphs.write(model, path, lengths=torch.tensor([4_000, 3_600]))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"mel": (FLOAT, ["n", 80, "t"])}, r"mel takes features .*mel float32 \[n, 80, t\].*needs one waveform"),
        ({"mel": (FLOAT, ["n", "t", 80])}, "features .* put the feature extraction into the graph"),
        ({"x": (FLOAT, ["n", 80, "t"]), "x_lens": (INT64, ["n"])}, "features"),
        ({"x": (FLOAT, ["t"])}, r"x is x float32 \[t\]; needs one waveform float32 or float16 \[n, time\]"),
        ({"x": (FLOAT, ["n", 1, "t", 1])}, r"x float32 \[n, 1, t, 1\]"),
        ({"x": (TensorProto.DOUBLE, ["n", "t"])}, r"x float64 \[n, t\]; needs one waveform float32 or float16"),
        ({"x": (TensorProto.INT16, ["n", "t"])}, "x int16 .*needs one waveform float32"),
        ({"x": (FLOAT, [1, "t"])}, "x has a fixed batch; .*dynamic_axes"),
        ({"x": (FLOAT, ["n", 16_000])}, "x has a fixed time"),
        ({"x": (FLOAT, [1, 16_000])}, "x has a fixed batch and time"),
        ({"x": WAVE, "x_lens": (INT64, [1])}, "x_lens has a fixed batch"),
        ({"x": WAVE, "cache": (FLOAT, ["n", 256])}, "x float32 .*cache float32 .* must be fixed within the graph"),
        ({"x": WAVE, "left": (INT64, [])}, r"left int64 \[\].* must be fixed within the graph"),
        ({"x": WAVE, "x_lens": (FLOAT, ["n"])}, r"x_lens float32 \[n\].*number of samples int32 or int64"),
        ({"x": WAVE, "a": (INT64, ["n"]), "b": (INT64, ["n"])}, "at most one number of samples"),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, tuple[int, Dims]], message: str, tmp_path: Path) -> None:
    path = declare(tmp_path / "g.onnx", inputs, {"y": SCORES})
    with pytest.raises(GraphError, match=message):
        read(path, COLUMNS)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            {"y": (FLOAT, ["n", COLUMNS])},
            r"has the outputs y float32 \[n, 14\]; needs one float32 or float16 \[n, frames, labels\]",
        ),
        ({"y": (INT64, ["n", "f"])}, r"y int64 \[n, f\]"),
        ({"y": (TensorProto.DOUBLE, ["n", "f", COLUMNS])}, "y float64 .*needs one float32 or float16"),
        ({"y": SCORES, "z": SCORES}, r"needs one float32 .*\(14 labels\)"),
        ({"y": SCORES, "a": (INT64, ["n"]), "b": (INT64, ["n"])}, "at most one number of frames"),
    ],
)
def test_outputs_that_do_not_fit(outputs: dict[str, tuple[int, Dims]], message: str, tmp_path: Path) -> None:
    path = declare(tmp_path / "g.onnx", {"x": WAVE}, outputs)
    with pytest.raises(GraphError, match=message):
        read(path, COLUMNS)


def test_hidden_states_beside_the_scores_are_passed_over(tmp_path: Path) -> None:
    path = declare(tmp_path / "g.onnx", {"x": WAVE}, {"encoder_out": (FLOAT, ["n", "f", 256]), "y": SCORES})
    assert read(path, COLUMNS).scores.name == "y"


def custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (custom_operator, "operators outside the ONNX standard: com.example"),
        (lambda model: model.graph.ClearField("node"), "holds no ONNX graph"),
        (lambda model: model.graph.node[3].input.insert(0, "nowhere"), "the ONNX checker refuses"),
    ],
)
def test_graphs_outside_the_standard(
    change: Callable[[onnx.ModelProto], None], message: str, sound: Path, tmp_path: Path
) -> None:
    model = onnx.load(sound)
    change(model)
    onnx.save(model, tmp_path / "g.onnx")
    with pytest.raises(GraphError, match=message):
        read(tmp_path / "g.onnx", COLUMNS)


@pytest.mark.parametrize(("content", "message"), [(None, "there is no file"), (b"no graph", "cannot read|holds no")])
def test_what_is_no_graph(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "g.onnx").write_bytes(content)
    with pytest.raises(GraphError, match=message):
        read(tmp_path / "g.onnx", COLUMNS)


def test_weights_that_are_missing(sound: Path, tmp_path: Path) -> None:
    onnx.save(onnx.load(sound), tmp_path / "g.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(GraphError, match="keeps its weights in w.bin, which is not beside it"):
        read(tmp_path / "g.onnx", COLUMNS)


def test_an_ir_above_tritons_is_lowered(sound: Path, tmp_path: Path) -> None:
    model = onnx.load(sound)
    model.ir_version = 11
    onnx.save(model, tmp_path / "g.onnx")
    assert read(tmp_path / "g.onnx", COLUMNS).model.ir_version == 10


def changed(sound: Path, path: Path, edit: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(sound)
    edit(model)
    onnx.save(model, path)
    return path


def nan_weight(model: onnx.ModelProto) -> None:
    weight = next(weight for weight in model.graph.initializer if list(weight.dims) == [COLUMNS])
    weight.CopyFrom(numpy_helper.from_array(np.full(COLUMNS, np.nan, np.float32), weight.name))


class Uneven(foreign_graphs.WaveformOnly):
    """Its frames grow with the square root of the samples."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = super().forward(x)
        return rows[:, : torch.sqrt(torch.tensor(rows.shape[1], dtype=torch.float32)).to(torch.int64)]


class Dithering(foreign_graphs.WaveformOnly):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + 0.1 * torch.randn_like(x))


class AcrossTheBatch(foreign_graphs.WaveformOnly):
    """Every item hears the mean of all, at any length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + super().forward(x.mean(dim=0, keepdim=True) + 0 * x)


class Limited(foreign_graphs.WaveformOnly):
    """Positions for 300 frames, which are 6 s."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns)
        self.register_buffer("positions", torch.arange(300)[None, :, None] / 300)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = super().forward(x)
        return rows + self.positions[:, torch.arange(rows.shape[1])]


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (Uneven, GraphError, "the frames do not follow the samples evenly .*400 → 1, "),
        (Dithering, GateError, "two answers for one recording"),
        (AcrossTheBatch, GateError, "differ by .* from the graph as it came, .* --max-batch-size 1 serves one"),
        (Limited, GraphError, "does not run on .* 640000 samples: .*; --max-audio-seconds sets"),
    ],
)
def test_behaviour_that_cannot_be_served(
    model: type[foreign_graphs.WaveformOnly], error: type[ExportError], message: str, labels: Path, tmp_path: Path
) -> None:
    path = foreign_graphs.write(model(COLUMNS), tmp_path / "g.onnx")
    with pytest.raises(error, match=message):
        export_graph(path, tmp_path / "models", GraphOptions(labels, 16_000))
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("model", "options"),
    [(AcrossTheBatch, ExportOptions(max_batch_size=1)), (Limited, ExportOptions(max_audio_seconds=5))],
)
def test_the_advice_of_an_error_helps(
    model: type[foreign_graphs.WaveformOnly], options: ExportOptions, labels: Path, tmp_path: Path
) -> None:
    path = foreign_graphs.write(model(COLUMNS), tmp_path / "g.onnx")
    export_graph(path, tmp_path / "models", GraphOptions(labels, 16_000), options)


def test_nan_is_found(sound: Path, labels: Path, tmp_path: Path) -> None:
    path = changed(sound, tmp_path / "g.onnx", nan_weight)
    with pytest.raises(GraphError, match="give no frame, or NaN"):
        export_graph(path, tmp_path / "models", GraphOptions(labels, 16_000))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExportOptions(revision="main"), "--revision is not for a ready graph, but for checkpoints"),
        (ExportOptions(precision="int8"), "--precision is not for a ready graph"),
        (ExportOptions(max_batch_size=0), "max batch size is 0"),
    ],
)
def test_options_that_a_graph_does_not_have(
    options: ExportOptions, message: str, sound: Path, labels: Path, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        export_graph(sound, tmp_path / "models", GraphOptions(labels, 16_000), options)


@pytest.mark.parametrize("rate", [0, 16, 1_000_000])
def test_rates_that_no_recording_has(rate: int, sound: Path, labels: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"--sample-rate is {rate}; needs 4000 to 384000 Hz"):
        export_graph(sound, tmp_path / "models", GraphOptions(labels, rate))


def test_labels_of_another_graph(sound: Path, tmp_path: Path) -> None:
    labels = foreign_graphs.write_labels(["<blk>", "a"], tmp_path / "labels.txt")
    with pytest.raises(GraphError, match="has 14 columns, the file 2 labels"):
        export_graph(sound, tmp_path / "models", GraphOptions(labels, 16_000))
    assert not (tmp_path / "models").exists()


def test_frames_in_time() -> None:
    strided, centred = FrameRule(320, -80), FrameRule(160, 160)
    assert [strided.frames(samples) for samples in (399, 400, 719, 720)] == [0, 1, 1, 2]
    assert (strided.receptive_field, centred.receptive_field) == (400, 0)
