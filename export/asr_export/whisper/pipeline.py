"""The whole export of a Whisper: checkpoint -> encoder and decoders -> gate -> repository."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from asr_serving.whisper.graphs.apart import Graphs

from asr_export.checkpoint.graph_files import GraphFiles
from asr_export.checkpoint.loading import Source, has_weights
from asr_export.errors import GraphError
from asr_export.graph.fewer_bits import LIMITS
from asr_export.graph.gate import Parity
from asr_export.options import ExportOptions, ExportResult, library_versions
from asr_export.repository.inspection import inspect_graph
from asr_export.repository.models import WhisperDeployment, write_whisper
from asr_export.whisper.artefacts import write_artefacts, write_settings
from asr_export.whisper.checkpoint import ARCHITECTURE, WhisperCheckpoint, load
from asr_export.whisper.gate import Standard, check_artefacts, check_ready_graphs
from asr_export.whisper.ready_graphs import Taken, take_graphs
from asr_export.whisper.reference import PyTorch, Reference, WholePrompts

# Whisper takes one window at a time, so memory does not depend on the length of a recording.
DEFAULT_SECONDS = 600.0
# Each stream hears its segment again and again: on two cores, a tiny model does not keep up with more.
DEFAULT_STREAMS = 16
_NOT_FOR_WHISPER = ("language", "platform", "precision", "exporter", "check_manifest")


@dataclass(frozen=True)
class _Checked:
    """What is known of graphs that have passed their gate."""

    parity: Parity
    reference: str
    precision: str
    variant: str | None  # of graphs that came with the checkpoint


def export_whisper(
    source: Source,
    graphs: GraphFiles | None,
    output: Path,
    options: ExportOptions,
    on_step: Callable[[str], None],
) -> ExportResult:
    """Export a Whisper, as `asr_export.export_checkpoint` says, from a located source with checked options.

    Args:
        source: the checkpoint.
        graphs: of the checkpoint, to be taken as they are; None: trace its weights.
        output: the repository.
        options: how to serve it.
        on_step: called with one line of text at the start of each step.
    """
    options.refuse(
        "Whisper, which is exported in fp32 or as its graphs are, for ONNX Runtime; a request names its language",
        _NOT_FOR_WHISPER,
    )
    options.refuse("Whisper, whose decoder is a language model", ("lm", "lexicon"))
    source = graphs.source if graphs else source
    loaded = load(source, weights=graphs is None or has_weights(source))
    # Only the graphs that the kit traces give the weights of attention.
    times = replace(loaded.settings, word_times=graphs is None, word_lag_s=options.word_lag_ms / 1000)
    loaded = replace(loaded, settings=times)
    if loaded.left_aside:
        settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in loaded.left_aside.items())
        on_step(f"ignoring {settings} of generation_config.json, because the service decodes greedily")
    with tempfile.TemporaryDirectory(prefix="asr-export-") as temporary:
        work = Path(temporary) / "artefacts"
        work.mkdir()
        checked = _take(graphs, loaded, work, options, on_step) if graphs else _trace(loaded, work, on_step)
        deployment = WhisperDeployment(
            max_batch_size=options.max_batch_size,
            max_queue=options.queue,
            max_audio_seconds=options.seconds(DEFAULT_SECONDS),
            sampling_rate=loaded.settings.sampling_rate,
            window=(loaded.config.num_mel_bins, loaded.settings.window_frames),
            gpu=options.gpu,
            max_streams=options.streams(DEFAULT_STREAMS),
        )
        report = {
            "source": source.name,
            "revision": source.revision,
            "files_sha256": source.file_hashes(),
            "architecture": ARCHITECTURE,
            "variant": checked.variant,
            "precision": checked.precision,
            "opset": max(inspect_graph(graph).opset for graph in work.glob("*.onnx")),
            "padding_safe": True,  # every window has the same length
            "left_aside": loaded.left_aside,
            "reference": checked.reference,
            "parity": asdict(checked.parity),
            "options": asdict(options),
            "versions": library_versions("tokenizers"),
        }
        on_step(f"writing {output}")
        names = write_whisper(output, options.name, work, deployment, report)
    return ExportResult(output, names, None, checked.parity, reference=checked.reference)


def _trace(loaded: WhisperCheckpoint, work: Path, on_step: Callable[[str], None]) -> _Checked:
    on_step("tracing encoder and decoder")
    write_artefacts(loaded, work)
    on_step("checking them against PyTorch")
    return _Checked(check_artefacts(work, loaded), PyTorch.name, "fp32", None)


def _take(
    files: GraphFiles, loaded: WhisperCheckpoint, work: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> _Checked:
    layers = loaded.config.decoder_layers
    on_step(
        f"taking the graphs of the variant {files.variant}: {', '.join(path.name for path in files.paths.values())}"
    )
    taken = take_graphs(files.paths, layers, work)
    if taken.one_scale and options.max_batch_size > 1:
        raise GraphError(
            f"the variant {files.variant} of {files.source.name} quantises with one scale for a whole batch "
            f"({', '.join(taken.one_scale)}), so recordings would change each other's results; needs "
            "--max-batch-size 1, or another variant"
        )
    write_settings(loaded, work)
    with tempfile.TemporaryDirectory(prefix="asr-export-") as plain:
        reference = _reference(files, loaded, work, layers, Path(plain), taken)
        on_step(f"checking them against {reference.name}")
        standard = Standard(reference, LIMITS[taken.bits], 1 if taken.one_scale else Standard.rows)
        parity = check_ready_graphs(work, loaded, standard)
    return _Checked(parity, reference.name, taken.bits, files.variant)


def _reference(
    files: GraphFiles, loaded: WhisperCheckpoint, work: Path, layers: int, plain: Path, taken: Taken
) -> Reference:
    """Return PyTorch if there are weights, else the graphs in fp32 if these have fewer bits, else these themselves."""
    if loaded.model is not None:
        return PyTorch(loaded.model)
    if files.plain is not None and taken.bits != "fp32":
        take_graphs(files.plain, layers, plain)
        return WholePrompts(Graphs(plain), "the graphs in fp32")
    return WholePrompts(Graphs(work), "the decoder of whole prompts")
