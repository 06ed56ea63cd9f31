"""The whole export: checkpoint -> graph -> gate -> repository."""

import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asr_export import checkpoint as checkpoints
from asr_export.acoustic import DenseCtc, RaggedCtc
from asr_export.choices import EXPORTERS, PRECISIONS, Exporter, Precision
from asr_export.engine import bucket_samples
from asr_export.errors import ExportError
from asr_export.folding import fold_constants
from asr_export.gate import Parity, check_graph, check_parity, dense_feed, make_probe, ragged_feed
from asr_export.graph import OPSETS, write_graph
from asr_export.labels import Labels, read_labels
from asr_export.precision import Converted, convert
from asr_export.repository import DEFAULT_NAME, Deployment, ModelNames, check_output, write_models
from asr_export.tensorrt import check_precision, check_tensorrt
from asr_export.word_errors import WordErrors, check_word_errors, hear

PLATFORMS = ("onnxruntime", "tensorrt")
_VERSIONS_OF = ("triton-asr-kit", "torch", "transformers", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class ExportOptions:
    """How an export is to be served."""

    name: str = DEFAULT_NAME  # of the model that clients call
    revision: str | None = None  # branch, tag or commit of a hub id
    language: str | None = None  # of a multi-lingual checkpoint (MMS), as its vocabulary names it
    max_batch_size: int = 16  # recordings in one run of the acoustic model
    max_audio_seconds: float = 40.0  # the longest recording; bounds memory together with max_batch_size
    platform: str = "onnxruntime"  # one of PLATFORMS: what runs the acoustic model
    precision: Precision | None = None  # of the acoustic model; None: fp16 on a GPU, fp32 elsewhere
    exporter: Exporter = "torchscript"
    gpu: bool = False  # the acoustic model runs on a GPU, and nowhere else
    check_manifest: str | None = None  # a TSV of recordings and texts, on which word error rates are compared
    max_wer_loss: float = 0.5  # percentage points above PyTorch's word error rate on that manifest


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote."""

    output: Path
    models: ModelNames
    labels: Labels
    parity: Parity  # of the graph that was written, in its precision
    padding_safe: bool = True  # False: padding leaks in this graph, so that a batch holds equal lengths alone
    word_errors: WordErrors | None = None  # on `check_manifest`


def export_checkpoint(
    checkpoint: str,
    output: str | Path,
    options: ExportOptions = ExportOptions(),
    on_step: Callable[[str], None] = lambda step: None,
) -> ExportResult:
    """Export a checkpoint into a Triton repository.

    Args:
        checkpoint: a hub id or a folder in HuggingFace format.
        output: the repository; other models in it stay as they are.
        options: how it is to be served.
        on_step: told what is going on, one line a step.

    Raises:
        CheckpointError, UnsupportedCheckpoint: the checkpoint cannot be used.
        GateError: the graph is not what the checkpoint means, or not in that precision; nothing was written.
        OutputError: the output cannot take the models.
    """
    output = Path(output)
    check_options(options)
    check_output(output, options.name)
    on_step(f"reading {checkpoint}")
    source = checkpoints.locate(checkpoint, options.revision, options.language)
    loaded = checkpoints.load(source, options.language)
    labels = read_labels(loaded)
    on_step("asking PyTorch for the reference outputs")
    probe = make_probe(loaded)
    dense = options.platform == "tensorrt"
    feed = dense_feed if dense else ragged_feed
    manifest = options.check_manifest
    spoken = hear(Path(manifest), loaded, options.max_audio_seconds) if manifest else None
    precision = options.precision or ("fp16" if options.gpu else "fp32")
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        graph = Path(work) / "graph"
        graph.mkdir()
        model = graph / "model.onnx"
        on_step("tracing the graph")
        network = loaded.family.network(loaded.model, loaded.feature_extractor)
        write_graph(DenseCtc(network) if dense else RaggedCtc(network), loaded.geometry, model, options.exporter)
        on_step("checking the graph")
        if dense:
            fold_constants(model)
        check_graph(model)
        if dense:
            check_tensorrt(model)
        parity = check_parity(model, probe, feed=feed)
        converted = None
        if precision != "fp32":
            on_step(f"converting it to {precision} and checking that")
            converted = convert(model, precision, probe, feed)
            if dense:
                fold_constants(model)
                check_tensorrt(model)
        word_errors = None
        if spoken:
            on_step(f"comparing word error rates on {manifest}")
            word_errors = check_word_errors(model, loaded, spoken, options.max_wer_loss, options.max_batch_size, feed)
        shortest = loaded.geometry.shortest
        deployment = Deployment(
            max_batch_size=options.max_batch_size,
            max_audio_seconds=options.max_audio_seconds,
            min_samples=shortest,
            labels=labels,
            buckets=bucket_samples(labels.sampling_rate, shortest, options.max_audio_seconds) if dense else (),
            gpu=options.gpu,
        )
        report = {
            **_report(loaded, options),
            **_precision_report(precision, parity, converted),
            "graph_bytes": sum(file.stat().st_size for file in graph.iterdir()),
            "word_errors": asdict(word_errors) if word_errors else None,
        }
        on_step(f"writing {output}")
        names = write_models(output, options.name, graph, deployment, report)
    return ExportResult(output, names, labels, converted.parity if converted else parity, word_errors=word_errors)


def check_options(options: ExportOptions) -> None:
    """Refuse limits and platforms that nothing can be served with.

    Raises:
        ExportError: which one, and what it needs.
    """
    if options.platform not in PLATFORMS:
        raise ExportError(f"platform is {options.platform!r}; needs one of {', '.join(PLATFORMS)}")
    if options.max_batch_size < 1:
        raise ExportError(f"max batch size is {options.max_batch_size}; needs 1 or more")
    if not 0 < options.max_audio_seconds < float("inf"):
        raise ExportError(f"max audio seconds is {options.max_audio_seconds}; needs a number above 0")
    if options.precision not in (None, *PRECISIONS):
        raise ExportError(f"precision is {options.precision!r}; needs one of {', '.join(PRECISIONS)}")
    if options.exporter not in EXPORTERS:
        raise ExportError(f"exporter is {options.exporter!r}; needs one of {', '.join(EXPORTERS)}")
    if options.gpu and options.precision == "int8":
        raise ExportError(
            "int8 is for CPUs: on a GPU, ONNX Runtime has no such matrix product and would run it on the CPU; choose "
            "fp16 or fp32 with --gpu"
        )
    if options.platform == "tensorrt":
        check_precision(options.precision or "fp32")


def _precision_report(precision: Precision, fp32: Parity, converted: Converted | None) -> dict[str, Any]:
    report: dict[str, Any] = {
        "precision": precision,
        "padding_safe": True,  # masks: no value of an item enters another, whatever the precision
        # fp32 batches were held to 1e-4 of solo runs. With fewer bits, differences far below that can turn a rounding.
        "batch_exact": converted is None,
        "parity": asdict(converted.parity if converted else fp32),
    }
    if converted:
        report["fp32_parity"] = asdict(fp32)
        report["fp16_peak"] = asdict(converted.fp16_peak) if converted.fp16_peak else None
    return report


def _report(loaded: checkpoints.Checkpoint, options: ExportOptions) -> dict[str, Any]:
    return {
        "source": loaded.source.name,
        "revision": loaded.source.revision,
        "files_sha256": loaded.source.file_hashes(),
        "architecture": loaded.family.architecture,
        "exporter": options.exporter,
        "opset": OPSETS[options.exporter],
        "options": asdict(options),
        "versions": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """The versions of all that has a part in an export."""
    return {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS_OF}}
