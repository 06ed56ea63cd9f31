"""The whole export: checkpoint -> graph -> gate -> repository."""

import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asr_export import checkpoint as checkpoints
from asr_export.acoustic import RaggedCtc
from asr_export.errors import ExportError
from asr_export.gate import Parity, check_graph, check_parity, make_probe
from asr_export.graph import OPSETS, write_graph
from asr_export.labels import Labels, read_labels
from asr_export.repository import DEFAULT_NAME, Deployment, ModelNames, check_output, write_models

_VERSIONS_OF = ("triton-asr-kit", "torch", "transformers", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class ExportOptions:
    """How an export is to be served."""

    name: str = DEFAULT_NAME  # of the model that clients call
    revision: str | None = None  # branch, tag or commit of a hub id
    language: str | None = None  # of a multi-lingual checkpoint (MMS), as its vocabulary names it
    max_batch_size: int = 16  # recordings in one run of the acoustic model
    max_audio_seconds: float = 40.0  # the longest recording; bounds memory together with max_batch_size


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote."""

    output: Path
    models: ModelNames
    labels: Labels
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
    loaded = checkpoints.load(source, options.language)
    labels = read_labels(loaded)
    on_step("asking PyTorch for the reference outputs")
    probe = make_probe(loaded)
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        graph = Path(work) / "graph"
        graph.mkdir()
        on_step("tracing the graph")
        network = loaded.family.network(loaded.model, loaded.feature_extractor)
        write_graph(RaggedCtc(network), loaded.geometry, graph / "model.onnx")
        on_step("checking the graph")
        check_graph(graph / "model.onnx")
        parity = check_parity(graph / "model.onnx", probe)
        deployment = Deployment(
            max_batch_size=options.max_batch_size,
            max_audio_seconds=options.max_audio_seconds,
            min_samples=loaded.geometry.shortest,
            labels=labels,
        )
        on_step(f"writing {output}")
        names = write_models(output, options.name, graph, deployment, _report(loaded, options, parity))
    return ExportResult(output, names, labels, parity)


def _check(options: ExportOptions) -> None:
    if options.max_batch_size < 1:
        raise ExportError(f"max batch size is {options.max_batch_size}; needs 1 or more")
    if not 0 < options.max_audio_seconds < float("inf"):
        raise ExportError(f"max audio seconds is {options.max_audio_seconds}; needs a number above 0")


def _report(loaded: checkpoints.Checkpoint, options: ExportOptions, parity: Parity) -> dict[str, Any]:
    return {
        "source": loaded.source.name,
        "revision": loaded.source.revision,
        "files_sha256": loaded.source.file_hashes(),
        "architecture": loaded.family.architecture,
        "precision": "fp32",
        "opset": OPSET,
        "padding_safe": True,  # the gate compared batches of mixed lengths with solo runs
        "parity": asdict(parity),
        "options": asdict(options),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _VERSIONS_OF}},
    }
