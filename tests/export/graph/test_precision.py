"""Graphs in fewer bits: what stays float32, what each gate refuses, and what the export says of it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import exports
import numpy as np
import onnx
import pytest
from asr_contract.manifest import read as read_manifest
from asr_contract.word_errors import compare
from asr_export import ExportError, ExportOptions, GateError, export_checkpoint
from asr_export.checkpoint.loading import Checkpoint, load, locate
from asr_export.choices import Precision
from asr_export.graph import int8
from asr_export.graph.gate import open_session
from asr_export.graph.int8 import to_int8
from asr_export.graph.precision import plan_half, to_half
from asr_export.graph.word_errors import check_word_errors, hear
from asr_export.repository.model_folder import read_config
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file
from tritonclient.grpc import model_config_pb2

DEMO = Path(__file__).parents[3] / "demo"
MANIFEST = DEMO / "samples" / "manifest.tsv"


@pytest.fixture(scope="module")
def demo() -> Callable[[Precision], Path]:
    """The demo checkpoint in a precision, its word error rate compared. Copy it before you change it."""
    return lambda kind: exports.exported(
        exports.DEMO, ExportOptions(precision=kind, check_manifest=str(exports.MANIFEST))
    )


def small_graph(nodes: list[onnx.NodeProto], **weights: object) -> onnx.ModelProto:
    """Float32 `x` `[rows, 4]` -> `y`, with weights by name."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, x: np.ndarray, path: Path) -> np.ndarray:
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return np.asarray(open_session(path).run(["y"], {"x": x.astype(np.float32)})[0])


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_the_demo_checkpoint_keeps_its_words(kind: Precision, demo: Callable[[Precision], Path]) -> None:
    report = json.loads((demo(kind) / "asr" / "export.json").read_text())
    assert (report["precision"], report["batch_exact"], report["padding_safe"]) == (kind, False, True)
    assert report["parity"]["decided_frames"] > 1_000
    assert report["parity"]["decided_agreement"] >= 0.99
    assert report["fp32_parity"]["max_abs_difference"] <= 1e-4
    errors = report["word_errors"]
    assert errors["words"] == 200
    assert errors["graph_wer"] <= errors["reference_wer"] + 0.5
    assert errors["reference_wer"] < 10


@pytest.mark.parametrize(("kind", "share"), [("fp16", 0.55), ("int8", 0.4)])
def test_the_file_shrinks(kind: Precision, share: float, demo: Callable[[Precision], Path]) -> None:
    sizes = [json.loads((demo(each) / "asr" / "export.json").read_text())["graph_bytes"] for each in ("fp32", kind)]
    assert sizes[1] < share * sizes[0]


def test_fp16_tells_how_large_its_values_get(demo: Callable[[Precision], Path]) -> None:
    report = json.loads((demo("fp16") / "asr" / "export.json").read_text())
    assert 1 < report["fp16_peak"]["value"] < 65504


def test_normalisation_softmax_and_masks_stay_float32(demo: Callable[[Precision], Path]) -> None:
    model = onnx.load(demo("fp16") / "acoustic" / "1" / "model.onnx")
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    by_operator: dict[str, set[int]] = {}
    for node in model.graph.node:
        by_operator.setdefault(node.op_type, set()).add(types.get(node.output[0], TensorProto.FLOAT))
    for operator in ("LayerNormalization", "Softmax", "LogSoftmax", "ReduceSum", "Sqrt"):
        assert TensorProto.FLOAT16 not in by_operator[operator]
    assert TensorProto.FLOAT16 in by_operator["Erf"]  # and FLOAT, after a layer norm
    for operator in ("Conv", "MatMul"):
        assert by_operator[operator] == {TensorProto.FLOAT16}
    halves = [numpy_helper.to_array(weight) for weight in model.graph.initializer]
    assert all(np.isfinite(weight).all() for weight in halves if weight.dtype == np.float16)


def scale_a_layer(source: Path, folder: Path, factor: float) -> Path:
    """A checkpoint whose feed-forward layer works at another scale; what comes out of it is the same."""
    shutil.copytree(source, folder)
    weights = load_file(folder / "model.safetensors")
    layer = "wav2vec2.encoder.layers.0.feed_forward"
    for name in ("weight", "bias"):
        weights[f"{layer}.intermediate_dense.{name}"] = weights[f"{layer}.intermediate_dense.{name}"] * factor
    # GELU is nearly its own multiple for large inputs; the fp32 gate compares with the same checkpoint in PyTorch.
    weights[f"{layer}.output_dense.weight"] = weights[f"{layer}.output_dense.weight"] / factor
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (
            1e5,
            r"fp16 overflows: the tensor \S*/feed_forward/\S* reaches \d\.?\d*e\+05, and float16 ends at 65504",
        ),
        (1e7, r"fp16 overflows: the weight \S+ holds \d\.?\d*e\+06, and float16 ends at 65504"),
    ],
)
def test_fp16_that_overflows_is_refused(
    factor: float, message: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = scale_a_layer(tiny_checkpoint("wav2vec2-group-norm"), tmp_path / "checkpoint", factor)
    with pytest.raises(GateError, match=message):
        export_checkpoint(str(checkpoint), tmp_path / "models", ExportOptions(precision="fp16"))
    assert not (tmp_path / "models").exists()


def test_int8_that_turns_over_labels_is_refused(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "_WEIGHT_STEPS", 1)  # weights of -1, 0 and 1
    with pytest.raises(
        GateError, match=r"in int8 the graph's best label agrees with PyTorch in \d+\.\d+% of .*needs 90\.00%"
    ):
        export_checkpoint(
            str(tiny_checkpoint("wav2vec2-group-norm")), tmp_path / "models", ExportOptions(precision="int8")
        )
    assert not (tmp_path / "models").exists()


def test_a_square_and_a_mask_stay_float32(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Relu", ["product"], ["bent"]),
        helper.make_node("Mul", ["bent", "bent"], ["square"]),
        helper.make_node("Add", ["bent", "lowest"], ["masked"]),
        helper.make_node("Add", ["square", "masked"], ["y"]),
    ]
    model = small_graph(nodes, w=np.full((4, 4), 100), lowest=np.finfo(np.float32).min)
    plan = plan_half(model)
    assert sorted(model.graph.node[index].op_type for index in plan.nodes) == ["MatMul", "Relu"]
    to_half(model, plan)
    # The square of 400 is beyond float16.
    expected = np.float32(400**2) + np.finfo(np.float32).min
    np.testing.assert_allclose(run(model, np.ones((2, 4)), tmp_path / "g.onnx"), np.full((2, 4), expected))


@pytest.mark.parametrize("convert", ["half", "int8"])
def test_what_leads_to_a_logarithm_stays_float32(convert: str) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "mel"], ["power"]),
        helper.make_node("Log", ["power"], ["spectrum"]),
        helper.make_node("MatMul", ["spectrum", "w"], ["hidden"]),
        helper.make_node("Softmax", ["hidden"], ["y"]),
    ]
    model = small_graph(nodes, mel=np.eye(4), w=np.eye(4))
    if convert == "half":
        assert [model.graph.node[index].output[0] for index in plan_half(model).nodes] == ["hidden"]
    else:
        assert to_int8(model) == 1
        assert [node.output[0] for node in model.graph.node if node.op_type == "MatMul"] == ["power"]


def test_a_loss_of_words_is_refused(demo: Callable[[Precision], Path]) -> None:
    checkpoint: Checkpoint = load(locate(str(DEMO / "checkpoint")))
    spoken = hear(MANIFEST, checkpoint, 40)
    flawless = replace(spoken, transcripts=spoken.texts)
    graph = demo("fp32") / "acoustic" / "1" / "model.onnx"
    with pytest.raises(
        GateError, match=r"word error rate on the manifest is 4\.50 %, that of PyTorch 0\.00 %; it may be at most 4"
    ):
        check_word_errors(graph, checkpoint, flawless, max_loss=4, batch=16)
    assert check_word_errors(graph, checkpoint, flawless, max_loss=5, batch=16).transcripts_changed > 0


def test_manifest_and_words_are_those_of_evaluate(demo: Callable[[Precision], Path], tmp_path: Path) -> None:
    manifest, entries = tmp_path / "manifest.jsonl", read_manifest(MANIFEST)[:4]
    rows = [{"audio": str(entry.path), "text": entry.text.upper().replace(" ", "-") + "!"} for entry in entries]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    checkpoint: Checkpoint = load(locate(str(DEMO / "checkpoint")))
    spoken = hear(manifest, checkpoint, 40)
    graph = demo("fp32") / "acoustic" / "1" / "model.onnx"
    found = check_word_errors(graph, checkpoint, spoken, max_loss=0.5, batch=16)
    pairs = zip((entry.text for entry in entries), spoken.transcripts, strict=True)
    assert found.reference_wer == 100 * (compare(pairs).wer or 0) < 20
    assert found.words == sum(len(entry.text.split()) for entry in entries)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read manifest"),
        ("audio\ttext\n", "has a header but no recordings"),
        ("a\tb\nx.wav\thello\n", "line 1: header is .*; needs columns audio and text"),
        ("audio\ttext\nx.wav\t\n", "has no words"),
        ("audio\ttext\nx.wav\t…\n", "has no words"),
        ("audio\ttext\nx.wav\thello\n", "cannot read .*x.wav"),
    ],
)
def test_a_manifest_that_cannot_be_used(content: str | None, message: str, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.tsv"
    if content is not None:
        manifest.write_text(content)
    options = ExportOptions(check_manifest=str(manifest))
    with pytest.raises(ExportError, match=message):
        export_checkpoint(str(DEMO / "checkpoint"), tmp_path / "models", options)
    assert not (tmp_path / "models").exists()


def test_a_gpu_gets_fp16_and_the_quick_choice_of_algorithms(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    result = export_checkpoint(str(tiny_checkpoint("wav2vec2-layer-norm")), tmp_path, ExportOptions(gpu=True))
    assert json.loads((tmp_path / "asr" / "export.json").read_text())["precision"] == "fp16"
    acoustic = read_config(tmp_path / result.models.acoustic)
    assert [group.kind for group in acoustic.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]
    assert acoustic.parameters["cudnn_conv_algo_search"].string_value == "1"
    preprocess = read_config(tmp_path / result.models.preprocess)
    assert preprocess.instance_group[0].kind != model_config_pb2.ModelInstanceGroup.KIND_GPU


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "precision is 'fp8'; needs one of fp32, fp16, int8"),
        ({"exporter": "onnx"}, "exporter is 'onnx'; needs one of torchscript, dynamo"),
        ({"precision": "int8", "gpu": True}, "int8 is for CPUs.*choose fp16 or fp32 with --gpu"),
    ],
)
def test_options_that_do_not_go(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        export_checkpoint(str(DEMO / "checkpoint"), tmp_path / "models", ExportOptions(**options))
    assert not (tmp_path / "models").exists()


def test_the_command_names_the_precisions(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "triton_asr", "export", str(DEMO / "checkpoint"), "--output", str(tmp_path / "m")]
    done = subprocess.run([*command, "--precision", "fp8"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "'fp8' is not one of 'fp32', 'fp16', 'int8'" in done.stderr
