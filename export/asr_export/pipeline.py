"""The whole export: checkpoint -> graph -> gate -> repository."""

import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asr_export import checkpoint as checkpoints
from asr_export.acoustic import RaggedCtc, shortest_recording
from asr_export.errors import ExportError
from asr_export.gate import Parity, check_graph, check_parity, make_probe
from asr_export.graph import OPSET, write_graph
from asr_export.labels import Labels, read_labels
from asr_export.repository import (
    DEFAULT_NAME,
    Deployment,
    ModelNames,
    WhisperDeployment,
    WhisperNames,
    check_output,
    write_models,
    write_whisper,
)
from asr_export.whisper import artefacts as whisper_artefacts
from asr_export.whisper import checkpoint as whisper_checkpoints
from asr_export.whisper.gate import check_artefacts

# A CTC model takes a recording in one piece, so that its length bounds memory; Whisper takes one window at a time.
DEFAULT_SECONDS = 40.0
DEFAULT_WHISPER_SECONDS = 600.0
_VERSIONS_OF = ("triton-asr-kit", "torch", "transformers", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class ExportOptions:
    """How an export is to be served."""

    name: str = DEFAULT_NAME  # of the model that clients call
    revision: str | None = None  # branch, tag or commit of a hub id
    language: str | None = None  # of a multi-lingual checkpoint (MMS), as its vocabulary names it
    max_batch_size: int = 16  # recordings in one run of the acoustic model
    # The longest recording; None for what suits the kind of model: DEFAULT_SECONDS, DEFAULT_WHISPER_SECONDS.
    max_audio_seconds: float | None = None


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote."""

    output: Path
    models: ModelNames | WhisperNames
    labels: Labels | None  # None for a Whisper, which has a tokenizer instead
    parity: Parity


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
        GateError: the graph is not what the checkpoint means; nothing was written.
        OutputError: the output cannot take the models.
    """
    output = Path(output)
    _check(options)
    check_output(output, options.name)
    on_step(f"reading {checkpoint}")
    source = checkpoints.locate(checkpoint, options.revision, options.language)
    if checkpoints.model_type(source) == whisper_checkpoints.MODEL_TYPE:
        return _export_whisper(source, output, _with_seconds(options, DEFAULT_WHISPER_SECONDS), on_step)
    return _export_ctc(source, output, _with_seconds(options, DEFAULT_SECONDS), on_step)


def _export_ctc(
    source: checkpoints.Source, output: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> ExportResult:
    loaded = checkpoints.load(source, options.language)
    labels = read_labels(loaded)
    on_step("asking PyTorch for the reference outputs")
    probe = make_probe(loaded)
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        graph = Path(work) / "graph"
        graph.mkdir()
        on_step("tracing the graph")
        write_graph(RaggedCtc(loaded.model, loaded.family, loaded.feature_extractor.do_normalize), graph / "model.onnx")
        on_step("checking the graph")
        check_graph(graph / "model.onnx")
        parity = check_parity(graph / "model.onnx", probe)
        deployment = Deployment(
            max_batch_size=options.max_batch_size,
            max_audio_seconds=options.max_audio_seconds or DEFAULT_SECONDS,
            min_samples=shortest_recording(loaded.model.config),
            labels=labels,
        )
        on_step(f"writing {output}")
        report = _report(source, loaded.family.architecture, OPSET, options, parity)
        names = write_models(output, options.name, graph, deployment, report)
    return ExportResult(output, names, labels, parity)


def _export_whisper(
    source: checkpoints.Source, output: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> ExportResult:
    if options.language:
        raise ExportError(
            f"--language is for checkpoints with one vocabulary a language (MMS); {source.name} is a Whisper: "
            "a request names its language"
        )
    loaded = whisper_checkpoints.load(source)
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        on_step("tracing encoder, decoder and decoder with past")
        whisper_artefacts.write_artefacts(loaded, Path(work))
        on_step("checking them against PyTorch")
        parity = check_artefacts(Path(work), loaded)
        deployment = WhisperDeployment(
            max_batch_size=options.max_batch_size,
            max_audio_seconds=options.max_audio_seconds or DEFAULT_WHISPER_SECONDS,
            sampling_rate=loaded.settings.sampling_rate,
        )
        on_step(f"writing {output}")
        architecture = whisper_checkpoints.FAMILY.architecture
        report = _report(source, architecture, whisper_artefacts.OPSET, options, parity)
        report["versions"] |= {name: version(name) for name in ("optimum-onnx", "tokenizers")}
        names = write_whisper(output, options.name, Path(work), deployment, report)
    return ExportResult(output, names, None, parity)


def _with_seconds(options: ExportOptions, default: float) -> ExportOptions:
    return options if options.max_audio_seconds is not None else replace(options, max_audio_seconds=default)


def _check(options: ExportOptions) -> None:
    if options.max_batch_size < 1:
        raise ExportError(f"max batch size is {options.max_batch_size}; needs 1 or more")
    if options.max_audio_seconds is not None and not 0 < options.max_audio_seconds < float("inf"):
        raise ExportError(f"max audio seconds is {options.max_audio_seconds}; needs a number above 0")


def _report(
    source: checkpoints.Source, architecture: str, opset: int, options: ExportOptions, parity: Parity
) -> dict[str, Any]:
    return {
        "source": source.name,
        "revision": source.revision,
        "files_sha256": source.file_hashes(),
        "architecture": architecture,
        "precision": "fp32",
        "opset": opset,
        "padding_safe": True,  # the gate compared batches of mixed lengths with solo runs
        "parity": asdict(parity),
        "options": asdict(options),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS_OF}},
    }
