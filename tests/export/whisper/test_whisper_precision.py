"""A Whisper in int8 and fp16: what its graphs hold and say, what its gates refuse, and what the export says of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from asr_contract.manifest import read as read_manifest
from asr_export import ExportError, ExportOptions, ExportResult, GateError, export_checkpoint
from asr_export.checkpoint.loading import locate
from asr_export.graph.gate import open_session, synthetic_speech
from asr_export.repository.model_folder import read_config
from asr_export.whisper import checkpoint, pipeline
from asr_export.whisper.gate import check_converted
from asr_serving.whisper.codec import Answer
from asr_serving.whisper.graphs import names
from asr_serving.whisper.service import Service
from onnx import TensorProto, numpy_helper
from run_export import run_export
from tritonclient.grpc import model_config_pb2

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "demo" / "samples" / "manifest.tsv"
FEW_BITS: tuple[Any, ...] = ("int8", "fp16")


@pytest.fixture(scope="module")
def exported(
    whisper_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], ExportResult]:
    """The export in a precision. Copy it before you change it."""
    made: dict[str, ExportResult] = {}

    def get(precision: Any) -> ExportResult:
        if precision not in made:
            output = tmp_path_factory.mktemp(precision) / "models"
            # On a GPU, fp16 is the default.
            options = ExportOptions(gpu=True) if precision == "fp16" else ExportOptions(precision=precision)
            made[precision] = export_checkpoint(str(whisper_checkpoint("multilingual")), output, options)
        return made[precision]

    return get


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two of the demo's recordings."""
    rows = [f"{entry.path}\t{entry.text}" for entry in read_manifest(SAMPLES)[:2]]
    path = tmp_path / "two.tsv"
    path.write_text("\n".join(["audio\ttext", *rows]), encoding="utf-8")
    return path


def step(result: ExportResult) -> Path:
    """The folder of the graphs."""
    return result.output / "whisper_generate" / "1"


def report(output: Path) -> dict[str, Any]:
    """What the export wrote about itself."""
    found: dict[str, Any] = json.loads((output / "asr" / "export.json").read_text(encoding="utf-8"))
    return found


def said(answer: Answer) -> tuple[Any, ...]:
    """Return what must be the same to the last bit."""
    return answer.text, answer.language, [(word["word"], word["start"], word["end"]) for word in answer.words]


def confidences(answers: list[Answer]) -> list[float]:
    """Return the confidences of answers and of their words."""
    return [
        value for answer in answers for value in (answer.confidence, *(word["confidence"] for word in answer.words))
    ]


@pytest.mark.parametrize("precision", FEW_BITS)
def test_a_recording_is_the_same_alone_and_beside_others(
    precision: str, exported: Callable[[str], ExportResult]
) -> None:
    random = np.random.default_rng(3)
    with Service.load(step(exported(precision))) as service:
        asked = [{"max_new_tokens": 24}, {"timestamps": True}, {"prompt": "Quilter"}, {}]
        requests = [
            (synthetic_speech(random, samples, 16_000), service.codec.options(parameters))
            for samples, parameters in zip((9_000, 50_000, 32_000, 20_000), asked, strict=True)
        ]
        together = service.answer(requests)
        alone = [service.answer([request])[0] for request in requests]
        assert list(map(said, together)) == list(map(said, alone))
        # Floating-point products of another shape are rounded differently on some processors; words to four digits.
        assert confidences(together) == pytest.approx(confidences(alone), abs=2e-4)


@pytest.mark.parametrize("precision", FEW_BITS)
def test_the_report(precision: str, exported: Callable[[str], ExportResult]) -> None:
    found = report(exported(precision).output)
    assert (found["precision"], found["graphs"]) == (precision, {"encoder": precision, "decoder": precision})
    assert found["fp32_parity"]["max_abs_difference"] <= 1e-4 < found["parity"]["max_abs_difference"]
    assert found["parity"]["decided_agreement"] >= 0.98
    if precision == "fp16":
        assert 0 < found["fp16_peak"]["value"] < 65504
    else:
        assert found["fp16_peak"] is None


def test_a_gpu_gets_fp16(exported: Callable[[str], ExportResult]) -> None:
    config = read_config(exported("fp16").output / "whisper_generate")
    assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("int8", [TensorProto.INT8]),
        ("fp16", [TensorProto.FLOAT16]),
    ],
)
def test_the_embedding_is_stored_once(
    precision: str, expected: list[int], exported: Callable[[str], ExportResult]
) -> None:
    weights = onnx.load(step(exported(precision)) / names.DECODER).graph.initializer
    assert [weight.data_type for weight in weights if len(weight.dims) == 2 and max(weight.dims) > 1000] == expected


def test_no_weight_of_a_product_is_left_in_float32(exported: Callable[[str], ExportResult]) -> None:
    for graph in (names.ENCODER, names.DECODER):
        model = onnx.load(step(exported("int8")) / graph)
        weights = {weight.name: weight for weight in model.graph.initializer}
        products = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
        assert not [node.name for node in products if not weights.keys().isdisjoint(node.input)]


@pytest.mark.parametrize("precision", FEW_BITS)
def test_the_keys_and_values_of_a_step(precision: str, exported: Callable[[str], ExportResult]) -> None:
    session = open_session(step(exported(precision)) / names.DECODER)
    types = {value.name: value.type for value in (*session.get_inputs(), *session.get_outputs())}
    kept = "tensor(float16)" if precision == "fp16" else "tensor(float)"
    assert {types[name] for name in (*names.past(2), *names.heard(2), *names.present(2))} == {kept}
    assert types[names.LOGITS] == types[names.ALIGNMENT] == "tensor(float)"


def test_an_int8_row_does_not_depend_on_its_neighbours(exported: Callable[[str], ExportResult]) -> None:
    random = np.random.default_rng(0)
    session = open_session(step(exported("int8")) / names.DECODER)
    feeds: dict[str, Any] = {
        value.name: random.normal(size=[2, value.shape[1], 5 if value.name in names.past(2) else 100, value.shape[3]])
        for value in session.get_inputs()
        if value.name in (*names.past(2), *names.heard(2))
    }
    for values in feeds.values():
        values[1] *= 1e3  # a loud neighbour
    feeds = {name: values.astype(np.float32) for name, values in feeds.items()}
    feeds |= {names.TOKENS: np.array([[9], [40]]), names.PADDING: np.array([0, 2]), names.READ: np.zeros((2, 1), int)}
    together = session.run([names.LOGITS], feeds)[0]
    alone = session.run([names.LOGITS], {name: values[:1] for name, values in feeds.items()})[0]
    # As close as float32 rounds: with one scale for both rows, the loud one would drown the other.
    np.testing.assert_allclose(together[:1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("precision", "weight", "message"),
    [
        ("int8", "fc1.bias", "best label agrees with PyTorch in"),
        ("fp16", "fc1.bias", "best label agrees with PyTorch in"),
        ("int8", "_head.columns.steps", "holds NaN or Inf"),
    ],
)
def test_the_gate_refuses_a_broken_conversion(
    precision: Any,
    weight: str,
    message: str,
    exported: Callable[[str], ExportResult],
    whisper_checkpoint: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(step(exported(precision)), tmp_path / "artefacts"))
    model = onnx.load(folder / names.DECODER)
    broken = next(found for found in model.graph.initializer if weight in found.name)
    values = numpy_helper.to_array(broken)
    wrong = np.full_like(values, np.nan) if message.endswith("Inf") else values + np.asarray(3, values.dtype)
    broken.CopyFrom(numpy_helper.from_array(wrong, broken.name))
    onnx.save(model, folder / names.DECODER)
    with pytest.raises(GateError, match=message):
        check_converted(folder, checkpoint.load(locate(str(whisper_checkpoint("multilingual")))), precision)


def test_a_manifest_on_the_command_line(
    whisper_checkpoint: Callable[[str], Path], manifest: Path, tmp_path: Path
) -> None:
    done = run_export(
        whisper_checkpoint("multilingual"),
        tmp_path / "models",
        *("--precision", "int8", "--check-manifest", str(manifest), "--max-wer-loss", "100"),
    )
    assert done.returncode == 0, done.stderr
    assert "taking the encoder and decoder in int8" in done.stderr
    assert "words: the graphs in fp32 " in done.stdout
    errors = report(tmp_path / "models")["word_errors"]
    assert (errors["recordings"], errors["reference"]) == (2, "the graphs in fp32")
    assert errors["words"] == sum(len(entry.text.split()) for entry in read_manifest(manifest))


@pytest.mark.parametrize("good", [("fp32", "decoder"), ("fp32",)])
def test_an_encoder_that_loses_words_stays_in_fp32(
    good: tuple[str, ...],
    whisper_checkpoint: Callable[[str], Path],
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [entry.text for entry in read_manifest(manifest)]
    monkeypatch.setattr(
        pipeline, "transcribe", lambda folder, *_: texts if folder.name in good else ["something else"] * 2
    )
    steps: list[str] = []
    options = ExportOptions(precision="int8", check_manifest=str(manifest))

    def export() -> ExportResult:
        return export_checkpoint(str(whisper_checkpoint("multilingual")), tmp_path / "models", options, steps.append)

    if "decoder" not in good:
        with pytest.raises(
            GateError, match=r"^decoder in int8: the graph's word error rate .* of the graphs in fp32 0"
        ):
            export()
        assert not (tmp_path / "models").exists()
    else:
        word_errors = export().word_errors
        assert word_errors is not None
        assert word_errors.graph_wer == 0
        assert report(tmp_path / "models")["graphs"] == {"encoder": "fp32", "decoder": "int8"}
        assert steps[-2] == "taking the decoder in int8"
    assert any(line.startswith("encoder and decoder in int8 do not pass: the graph's word error") for line in steps)


def test_a_manifest_for_fp32(whisper_checkpoint: Callable[[str], Path], manifest: Path, tmp_path: Path) -> None:
    options = ExportOptions(check_manifest=str(manifest))
    found = export_checkpoint(str(whisper_checkpoint("english")), tmp_path / "models", options).word_errors
    assert found is not None
    assert found.reference_wer == found.graph_wer > 0
    assert found.transcripts_changed == 0


def test_a_manifest_is_read_first(whisper_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    steps: list[str] = []
    options = ExportOptions(check_manifest=str(tmp_path / "none.tsv"))
    with pytest.raises(ExportError, match="cannot read manifest"):
        export_checkpoint(str(whisper_checkpoint("english")), tmp_path / "models", options, steps.append)
    assert not any("tracing" in line for line in steps)
