"""The whole export of a ready graph: graph and labels -> wrapped graph -> gate -> repository."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from asr_contract.labels import Labels

from asr_export.checkpoint.loading import sha256
from asr_export.errors import ExportError
from asr_export.options import ExportOptions, ExportResult, check_options
from asr_export.ready_graph import label_file
from asr_export.ready_graph import source as foreign
from asr_export.ready_graph.behaviour import Behaviour
from asr_export.ready_graph.wrapped import Known, export_wrapped
from asr_export.repository.models import check_output

ARCHITECTURE = "ONNX graph"
_NOT_FOR_GRAPHS = (
    "word_lag_ms",
    "revision",
    "language",
    "variant",
    "platform",
    "precision",
    "exporter",
    "check_manifest",
)
_RATES = (4_000, 384_000)
_DEFAULTS = ExportOptions()


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
    report = {
        "source": str(graph),
        "revision": None,
        "files_sha256": {**source.file_hashes(), graph_options.labels.name: sha256(graph_options.labels)},
        "architecture": ARCHITECTURE,
        "precision": "fp32",
        "options": {**asdict(options), **asdict(graph_options), "labels": str(graph_options.labels)},
    }
    known = Known(graph_options.sampling_rate, lambda found: _labels(lines, found, graph_options), report)
    return export_wrapped(source, known, output, options, on_step)


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
