"""The whole export of a Whisper: checkpoint -> encoder and decoders -> gate -> repository."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from asr_serving.whisper.graphs.apart import Graphs
from asr_serving.whisper.graphs.names import DECODER

from asr_export.checkpoint.graph_files import GraphFiles
from asr_export.checkpoint.loading import Source, has_weights
from asr_export.choices import Precision
from asr_export.errors import GateError, GraphError
from asr_export.graph.fewer_bits import LIMITS
from asr_export.graph.gate import Parity
from asr_export.graph.precision import Peak
from asr_export.graph.word_errors import (
    Spoken,
    WordErrors,
    count_word_errors,
    read_recordings,
    require_few_word_errors,
)
from asr_export.options import ExportOptions, ExportResult, library_versions
from asr_export.repository.inspection import inspect_graph
from asr_export.repository.models import WhisperDeployment, write_whisper
from asr_export.whisper.artefacts import write_artefacts, write_settings
from asr_export.whisper.checkpoint import ARCHITECTURE, WhisperCheckpoint, load
from asr_export.whisper.conversion import GRAPHS, write_converted
from asr_export.whisper.gate import Standard, check_artefacts, check_converted, check_ready_graphs
from asr_export.whisper.ready_graphs import Taken, take_graphs
from asr_export.whisper.reference import PyTorch, Reference, WholePrompts
from asr_export.whisper.word_errors import REFERENCE, transcribe

# Whisper takes one window at a time, so memory does not depend on the length of a recording.
DEFAULT_SECONDS = 600.0
# Each stream hears its segment again and again: on two cores, a tiny model does not keep up with more.
DEFAULT_STREAMS = 16
_NOT_FOR_WHISPER = ("language", "platform", "exporter")
_NOT_FOR_READY_GRAPHS = ("precision", "check_manifest")


@dataclass(frozen=True)
class _Checked:
    """What is known of artefacts that have passed their gate."""

    folder: Path  # where they are
    parity: Parity
    reference: str
    precision: str
    variant: str | None = None  # of graphs that came with the checkpoint
    converted: "_Converted | None" = None  # of graphs that the kit traced and converted
    word_errors: WordErrors | None = None  # on `check_manifest`


@dataclass(frozen=True)
class _Converted:
    """What is known of graphs that have been converted from float32."""

    graphs: tuple[str, ...]  # those that were; the others stayed float32
    fp32_parity: Parity  # of the graphs before
    fp16_peak: Peak | None  # of fp16


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
        "Whisper, which is traced by TorchScript, for ONNX Runtime; a request names its language", _NOT_FOR_WHISPER
    )
    options.refuse("Whisper, whose decoder is a language model", ("lm", "lexicon"))
    if graphs:
        options.refuse("a Whisper's ready graphs, which are taken as they are", _NOT_FOR_READY_GRAPHS)
    source = graphs.source if graphs else source
    loaded = load(source, weights=graphs is None or has_weights(source))
    # Only the graphs that the kit traces give the weights of attention.
    times = replace(loaded.settings, word_times=graphs is None, word_lag_s=options.word_lag_ms / 1000)
    loaded = replace(loaded, settings=times)
    if loaded.left_aside:
        settings = ", ".join(f"{name} {json.dumps(value)}" for name, value in loaded.left_aside.items())
        on_step(f"ignoring {settings} of generation_config.json, because the service decodes greedily")
    with tempfile.TemporaryDirectory(prefix="asr-export-") as temporary:
        work = Path(temporary)
        checked = _take(graphs, loaded, work, options, on_step) if graphs else _trace(loaded, work, options, on_step)
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
            **_precision_report(checked),
            "opset": max(inspect_graph(graph).opset for graph in checked.folder.glob("*.onnx")),
            "padding_safe": True,  # every window has the same length
            "left_aside": loaded.left_aside,
            "reference": checked.reference,
            "word_errors": asdict(checked.word_errors) if checked.word_errors else None,
            "options": asdict(options),
            "versions": library_versions("tokenizers"),
        }
        on_step(f"writing {output}")
        names = write_whisper(output, options.name, checked.folder, deployment, report)
    return ExportResult(
        output, names, None, checked.parity, word_errors=checked.word_errors, reference=checked.reference
    )


def _trace(loaded: WhisperCheckpoint, work: Path, options: ExportOptions, on_step: Callable[[str], None]) -> _Checked:
    precision = options.precision or ("fp16" if options.gpu else "fp32")
    manifest = options.check_manifest
    rate, seconds = loaded.settings.sampling_rate, options.seconds(DEFAULT_SECONDS)
    recordings = read_recordings(Path(manifest), rate, 1, seconds) if manifest else None
    plain = work / "fp32"
    plain.mkdir()
    on_step("tracing encoder and decoder")
    write_artefacts(loaded, plain, options.gpu)
    on_step("checking them against PyTorch")
    parity = check_artefacts(plain, loaded)
    spoken = None
    if recordings:
        waves, texts = recordings
        on_step(f"transcribing {manifest} in fp32")
        spoken = Spoken(waves, texts, transcribe(plain, waves, options.max_batch_size, on_step))
    if precision != "fp32":
        return _convert(loaded, plain, parity, spoken, precision, options, on_step)
    errors = count_word_errors(spoken, spoken.transcripts, REFERENCE) if spoken else None
    return _Checked(plain, parity, PyTorch.name, precision, word_errors=errors)


def _convert(
    loaded: WhisperCheckpoint,
    plain: Path,
    parity: Parity,
    spoken: Spoken | None,
    precision: Precision,
    options: ExportOptions,
    on_step: Callable[[str], None],
) -> _Checked:
    """Convert as many of the graphs as pass: in int8, the decoder alone if it does not pass with the encoder.

    Raises:
        GateError: the decoder alone does not pass, or fp16 does not.
    """
    choices = [GRAPHS, (DECODER,)] if precision == "int8" else [GRAPHS]
    for graphs in choices:
        what = " and ".join(Path(graph).stem for graph in graphs)
        folder = plain.with_name(what.replace(" ", "-"))
        folder.mkdir()
        try:
            on_step(f"converting the {what} to {precision}, and checking again")
            peak = write_converted(plain, folder, precision, graphs, loaded)
            found = check_converted(folder, loaded, precision)
            errors = None
            if spoken:
                on_step(f"transcribing the manifest in {precision}")
                texts = transcribe(folder, spoken.waves, options.max_batch_size, on_step)
                errors = count_word_errors(spoken, texts, REFERENCE)
                require_few_word_errors(errors, options.max_wer_loss)
        except GateError as error:
            if graphs is choices[-1]:
                raise GateError(f"{what} in {precision}: {error}; --precision fp32 equals PyTorch") from error
            on_step(f"{what} in {precision} do not pass: {error}")
            continue
        on_step(f"taking the {what} in {precision}")
        break
    return _Checked(
        folder,
        found,
        PyTorch.name,
        precision,
        converted=_Converted(graphs, parity, peak),
        word_errors=errors,
    )


def _precision_report(checked: _Checked) -> dict[str, Any]:
    report: dict[str, Any] = {"precision": checked.precision, "parity": asdict(checked.parity)}
    if checked.converted:
        report["graphs"] = {
            Path(graph).stem: checked.precision if graph in checked.converted.graphs else "fp32" for graph in GRAPHS
        }
        report["fp32_parity"] = asdict(checked.converted.fp32_parity)
        report["fp16_peak"] = asdict(checked.converted.fp16_peak) if checked.converted.fp16_peak else None
    return report


def _take(
    files: GraphFiles, loaded: WhisperCheckpoint, work: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> _Checked:
    layers = loaded.config.decoder_layers
    on_step(
        f"taking the graphs of the variant {files.variant}: {', '.join(path.name for path in files.paths.values())}"
    )
    work = work / "artefacts"
    work.mkdir()
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
    return _Checked(work, parity, reference.name, taken.bits, files.variant)


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
