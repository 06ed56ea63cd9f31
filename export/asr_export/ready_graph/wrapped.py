"""A ready graph and what is known of it -> wrapped graph -> gate -> repository."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_export.errors import ExportError, GateError
from asr_export.graph.feeds import Feed, equal_feed, ragged_feed
from asr_export.graph.gate import (
    EXACT,
    Parity,
    Probe,
    Tolerance,
    check_format,
    check_parity,
    probe_batches,
    synthetic_speech,
)
from asr_export.graph.word_errors import WordErrors
from asr_export.options import DEFAULT_SECONDS, DEFAULT_STREAMS, ExportOptions, ExportResult, library_versions
from asr_export.ready_graph.behaviour import Behaviour, Features, Reference, Runner, observe
from asr_export.ready_graph.source import ForeignGraph
from asr_export.ready_graph.wrapping import wrap
from asr_export.repository.inspection import inspect_graph
from asr_export.repository.models import Deployment, write_models

AS_IT_CAME = "the graph as it came"
Batch = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Origin:
    """The model that a graph was made from, or the same graph in float32: more than the graph itself can tell."""

    name: str  # in messages
    log_probs: Callable[[NDArray[np.float32]], NDArray[np.float32]]  # of a waveform `[samples]` alone


@dataclass(frozen=True)
class Known:
    """What is known of a graph besides its file."""

    sampling_rate: int  # Hz
    labels: Callable[[Behaviour], Labels]
    report: dict[str, Any]  # its entries in export.json
    features: Features = lambda waves: waves  # what a caller of the graph does to waveforms first
    normalizes: bool = False  # True: it gives each waveform zero mean and unit variance
    tolerance: Tolerance = EXACT
    origin: Callable[[Behaviour], Origin | None] = lambda behaviour: None
    # (wrapped graph, what makes its inputs) -> word errors on the manifest of the options
    word_errors: Callable[[Path, Feed], WordErrors | None] = lambda path, feed: None


@dataclass(frozen=True)
class _Wrapped:
    """A wrapped graph that has passed its gate."""

    folder: Path
    feed: Feed
    parity: Parity  # with the graph as it came
    leak: str | None  # how padding leaks


def export_wrapped(
    source: ForeignGraph, known: Known, output: Path, options: ExportOptions, on_step: Callable[[str], None]
) -> ExportResult:
    """Wrap a graph, check it, and write the repository, as `asr_export.export_graph` says.

    Raises:
        GraphError: the graph or its labels do not fit; nothing was written.
        GateError: the wrapped graph does not compute what the graph computes; nothing was written.
        OutputError: the output cannot take the models.
    """
    on_step("running the graph as it came")
    runner = Runner(source, known.features)
    behaviour = observe(runner, known.sampling_rate, options.seconds(DEFAULT_SECONDS))
    labels = known.labels(behaviour)
    language_model = options.language_model(labels)
    batches = _batches(behaviour, options, known.sampling_rate)
    reference = Reference(runner, behaviour)
    if not np.array_equal(reference(batches[1][0]), reference(batches[1][0])):
        raise GateError("the graph gives two answers for one recording: it has dropout, dither or another random part")
    try:
        reference(batches[-1][0])
    except ExportError as error:
        raise type(error)(f"{error}; --max-audio-seconds sets the longest recording") from error
    on_step("wrapping and checking the graph")
    with tempfile.TemporaryDirectory(prefix="asr-export-") as work:
        wrapped = _Wrapping(source, behaviour, known).check(batches, reference, Path(work))
        if wrapped.leak is not None:
            on_step(f"padding leaks, so a batch will hold equal lengths only: {wrapped.leak}")
        model, parity, origin = wrapped.folder / "model.onnx", wrapped.parity, known.origin(behaviour)
        if origin:
            on_step(f"comparing it with {origin.name}")
            parity = _compare(model, [[wave] for batch in batches for wave in batch], origin, known, wrapped.feed)
        word_errors = known.word_errors(model, wrapped.feed)
        deployment = Deployment(
            max_batch_size=options.max_batch_size,
            max_queue=options.queue,
            max_streams=options.streams(DEFAULT_STREAMS),
            max_audio_seconds=options.seconds(DEFAULT_SECONDS),
            min_samples=behaviour.min_samples,
            labels=labels,
            padding_safe=wrapped.leak is None,
            gpu=options.gpu,
            language_model=language_model,
        )
        on_step(f"writing {output}")
        facts = inspect_graph(model)
        report = {
            **known.report,
            "opset": facts.opset,
            "padding_safe": wrapped.leak is None,
            "padding_leak": wrapped.leak,
            "operators_outside_tensorrt": facts.outside_tensorrt,
            "found": asdict(behaviour),
            "language_model": language_model.facts() if language_model else None,
            "word_errors": asdict(word_errors) if word_errors else None,
            "reference": origin.name if origin else AS_IT_CAME,
            "parity": asdict(parity),
            "wrapped_parity": asdict(wrapped.parity),
            "versions": library_versions(),
        }
        names = write_models(output, options.name, wrapped.folder, deployment, report)
    return ExportResult(
        output,
        names,
        labels,
        parity,
        wrapped.leak is None,
        word_errors=word_errors,
        language_model=language_model,
        reference=origin.name if origin else AS_IT_CAME,
    )


def _batches(behaviour: Behaviour, options: ExportOptions, rate: int) -> list[Batch]:
    """Return the gate's batches within the limits, and the longest allowed recording as a batch of its own."""
    longest = int(options.seconds(DEFAULT_SECONDS) * rate)
    batches = [[wave[:longest] for wave in batch] for batch in probe_batches(rate, behaviour.min_samples)]
    batches.append([synthetic_speech(np.random.default_rng(2), longest, rate)])
    size = options.max_batch_size
    return [batch[start : start + size] for batch in batches for start in range(0, len(batch), size)]


@dataclass(frozen=True)
class _Wrapping:
    source: ForeignGraph
    behaviour: Behaviour
    known: Known

    def check(self, batches: list[Batch], reference: Reference, work: Path) -> _Wrapped:
        """Wrap the graph for batches of mixed lengths, or of equal ones if padding leaks, and compare."""
        origin = Origin(AS_IT_CAME, reference)
        leak = "the graph takes no lengths, so it cannot tell padding from audio"
        if self.source.samples is not None:
            model = self._write(True, work / "ragged")
            try:
                return _Wrapped(
                    model.parent, ragged_feed, _compare(model, batches, origin, self.known, ragged_feed), None
                )
            except GateError as error:
                leak = str(error)
        model = self._write(False, work / "equal")
        equal = [[np.resize(wave, max(map(len, batch))) for wave in batch] for batch in batches]
        try:
            return _Wrapped(model.parent, equal_feed, _compare(model, equal, origin, self.known, equal_feed), leak)
        except GateError as error:
            alone = all(len(batch) == 1 for batch in batches)
            hint = "" if alone else "; --max-batch-size 1 serves one recording at a time"
            raise GateError(f"{error}{hint}") from error

    def _write(self, ragged: bool, folder: Path) -> Path:
        folder.mkdir()
        path = folder / "model.onnx"
        wrap(self.source, self.behaviour, ragged, path, self.known.normalizes)
        check_format(path)
        return path


def _compare(model: Path, batches: list[Batch], origin: Origin, known: Known, feed: Feed) -> Parity:
    probe = Probe(batches, [[origin.log_probs(wave) for wave in batch] for batch in batches], origin.name)
    try:
        return check_parity(model, probe, known.tolerance, feed)
    except GateError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise GateError(f"the wrapped graph does not run: {' '.join(str(error).split())}") from error
