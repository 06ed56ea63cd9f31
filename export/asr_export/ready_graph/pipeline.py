"""The whole export of a ready graph: graph and labels -> wrapped graph -> gate -> repository."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_export.checkpoint.loading import sha256
from asr_export.errors import ExportError, GateError
from asr_export.graph.feeds import Feed, equal_feed, ragged_feed
from asr_export.graph.gate import Parity, Probe, check_format, check_parity, probe_batches, synthetic_speech
from asr_export.options import DEFAULT_SECONDS, ExportOptions, ExportResult, check_options, library_versions
from asr_export.ready_graph import label_file
from asr_export.ready_graph import source as foreign
from asr_export.ready_graph.behaviour import Behaviour, Reference, Runner, observe
from asr_export.ready_graph.wrapping import wrap
from asr_export.repository.inspection import inspect_graph
from asr_export.repository.models import Deployment, check_output, write_models

ARCHITECTURE = "ONNX graph"
_NOT_FOR_GRAPHS = ("revision", "language", "platform", "precision", "exporter", "check_manifest")
_RATES = (4_000, 384_000)
_DEFAULTS = ExportOptions()
Batch = list[NDArray[np.float32]]


@dataclass(frozen=True)
class GraphOptions:
    """The facts about a graph that its file does not hold."""

    labels: Path  # a text file, one label a line
    sampling_rate: int  # Hz, of the waveform that the graph expects
    blank: str | None = None  # label or column of the CTC blank; None: look for the usual names
    delimiter: str | None = None  # label that separates words; None: look for the usual ones


def export_graph(
    graph: str | Path,
    output: str | Path,
    graph_options: GraphOptions,
    options: ExportOptions = _DEFAULTS,
    on_step: Callable[[str], None] = lambda step: None,
) -> ExportResult:
    """Wrap a CTC graph that takes waveforms and export it into a Triton repository.

    Args:
        graph: an ONNX file; see docs/export.md for the inputs and outputs that fit.
        output: the repository; other models in it stay as they are.
        graph_options: its labels and its sampling rate.
        options: how to serve it; a graph has no revision and no language.
        on_step: called with one line of text at the start of each step.

    Raises:
        GraphError: the graph or its labels do not fit; nothing was written.
        GateError: the wrapped graph does not compute what the graph computes; nothing was written.
        OutputError: the output cannot take the models.
    """
    graph, output = Path(graph), Path(output)
    _check(graph_options, options)
    check_output(output, options.name)
    on_step(f"reading {graph}")
    lines = label_file.read(graph_options.labels)
    source = foreign.read(graph, len(lines))
    on_step("running the graph as it came")
    runner = Runner(source)
    behaviour = observe(runner, graph_options.sampling_rate, options.seconds(DEFAULT_SECONDS))
    labels = _labels(lines, behaviour, graph_options)
    language_model = options.language_model(labels)
    batches = _batches(behaviour, options, graph_options.sampling_rate)
    reference = Reference(runner, behaviour)
    if not np.array_equal(reference(batches[1][0]), reference(batches[1][0])):
        raise GateError("the graph gives two answers for one recording: it has dropout, dither or another random part")
    try:
        reference(batches[-1][0])
    except ExportError as error:
        raise type(error)(f"{error}; --max-audio-seconds sets the longest recording") from error
    on_step("wrapping and checking the graph")
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        folder, parity, leak = _wrap_and_check(source, behaviour, batches, reference, Path(work))
        if leak is not None:
            on_step(f"padding leaks, so a batch will hold equal lengths only: {leak}")
        deployment = Deployment(
            max_batch_size=options.max_batch_size,
            max_queue=options.queue,
            max_streams=options.max_streams,
            max_audio_seconds=options.seconds(DEFAULT_SECONDS),
            min_samples=behaviour.min_samples,
            labels=labels,
            padding_safe=leak is None,
            gpu=options.gpu,
            language_model=language_model,
        )
        on_step(f"writing {output}")
        facts = inspect_graph(folder / "model.onnx")
        report = {
            "source": str(graph),
            "revision": None,
            "files_sha256": {**source.file_hashes(), graph_options.labels.name: sha256(graph_options.labels)},
            "architecture": ARCHITECTURE,
            "precision": "fp32",
            "opset": facts.opset,
            "padding_safe": leak is None,
            "padding_leak": leak,
            "operators_outside_tensorrt": facts.outside_tensorrt,
            "found": asdict(behaviour),
            "language_model": language_model.facts() if language_model else None,
            "parity": asdict(parity),
            "options": {**asdict(options), **asdict(graph_options), "labels": str(graph_options.labels)},
            "versions": library_versions(),
        }
        names = write_models(output, options.name, folder, deployment, report)
    return ExportResult(output, names, labels, parity, leak is None, language_model=language_model)


def _check(graph_options: GraphOptions, options: ExportOptions) -> None:
    check_options(options)
    options.refuse("a ready graph, but for checkpoints", _NOT_FOR_GRAPHS)
    low, high = _RATES
    if not low <= graph_options.sampling_rate <= high:
        raise ExportError(f"--sample-rate is {graph_options.sampling_rate}; needs {low} to {high} Hz")


def _labels(lines: list[str], behaviour: Behaviour, options: GraphOptions) -> Labels:
    labels, blank = label_file.name_columns(lines, behaviour.columns, options.blank)
    delimiter, word_start = label_file.word_boundaries(labels, options.delimiter)
    return Labels(
        labels=labels,
        blank=blank,
        delimiter=delimiter,
        lowercase=False,
        clean_up_spaces=False,
        sampling_rate=options.sampling_rate,
        stride_samples=behaviour.rule.stride,
        receptive_field_samples=behaviour.rule.receptive_field,
        word_start=word_start,
    )


def _batches(behaviour: Behaviour, options: ExportOptions, rate: int) -> list[Batch]:
    """Return the gate's batches within the limits, and the longest allowed recording as a batch of its own."""
    longest = int(options.seconds(DEFAULT_SECONDS) * rate)
    batches = [[wave[:longest] for wave in batch] for batch in probe_batches(rate, behaviour.min_samples)]
    batches.append([synthetic_speech(np.random.default_rng(2), longest, rate)])
    size = options.max_batch_size
    return [batch[start : start + size] for batch in batches for start in range(0, len(batch), size)]


def _wrap_and_check(
    source: foreign.ForeignGraph, behaviour: Behaviour, batches: list[Batch], reference: Reference, work: Path
) -> tuple[Path, Parity, str | None]:
    """Wrap the graph; return its folder, its parity, and how padding leaks (None if it does not)."""
    leak = "the graph takes no lengths, so it cannot tell padding from audio"
    if source.samples is not None:
        folder = _write(source, behaviour, True, work / "ragged")
        try:
            return folder, _compare(folder, batches, reference, ragged_feed), None
        except GateError as error:
            leak = str(error)
    folder = _write(source, behaviour, False, work / "equal")
    equal = [[np.resize(wave, max(map(len, batch))) for wave in batch] for batch in batches]
    try:
        return folder, _compare(folder, equal, reference, equal_feed), leak
    except GateError as error:
        hint = "; --max-batch-size 1 serves one recording at a time" if any(len(batch) > 1 for batch in batches) else ""
        raise GateError(f"{error}{hint}") from error


def _write(source: foreign.ForeignGraph, behaviour: Behaviour, ragged: bool, folder: Path) -> Path:
    folder.mkdir()
    wrap(source, behaviour, ragged, folder / "model.onnx")
    check_format(folder / "model.onnx")
    return folder


def _compare(folder: Path, batches: list[Batch], reference: Reference, feed: Feed) -> Parity:
    probe = Probe(batches, [[reference(wave) for wave in batch] for batch in batches], "the graph as it came")
    try:
        return check_parity(folder / "model.onnx", probe, feed=feed)
    except GateError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise GateError(f"the wrapped graph does not run: {' '.join(str(error).split())}") from error
