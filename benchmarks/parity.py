"""Measure how close every kind of exported graph is to its checkpoint, and write docs/parity.md.

    python benchmarks/parity.py [--kinds wav2vec2-group-norm,…]

Traces a random checkpoint of each kind (and the demo checkpoint) with both exporters, and converts the graphs to every
precision. Each graph goes through the gate of an export: one that fails is an error, not a row of the table.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from asr_export import export_checkpoint
from asr_export.checkpoint.loading import load, locate
from asr_export.choices import EXPORTERS, PRECISIONS
from asr_export.graph.gate import Parity, check_graph, check_parity, make_probe
from asr_export.graph.precision import convert, ragged_graph
from asr_export.graph.trace import write_graph
from asr_export.repository.inspection import inspect_graph
from parity_page import PAGE, PARITY, save
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
DEMO = "demo checkpoint"
sys.path.insert(0, str(ROOT / "tests" / "support" / "models"))

import tiny_checkpoints  # noqa: E402
import tiny_whisper  # noqa: E402

WHISPERS = {f"whisper-{kind}": kind for kind in tiny_whisper.KINDS}
KINDS = [*tiny_checkpoints.KINDS, DEMO, *WHISPERS]

COLUMNS = (
    "kind",
    "architecture",
    "exporter",
    "precision",
    "max abs Δ",
    "batched - solo",
    "best label agrees",
    "where decided",
    "TensorRT",
)


def main() -> None:
    """Export every kind in every way and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", help=f"comma-separated; by default all of {', '.join(KINDS)}")
    arguments = parser.parse_args()
    kinds = arguments.kinds.split(",") if arguments.kinds else KINDS
    if unknown := sorted(set(kinds) - set(KINDS)):
        parser.error(f"--kinds has {', '.join(unknown)}; needs some of {', '.join(KINDS)}")
    rows: list[list[str]] = []
    for kind in tqdm(kinds, unit="kind", file=sys.stderr):
        with tempfile.TemporaryDirectory() as work:
            rows += [whisper_row(kind, Path(work))] if kind in WHISPERS else rows_of(kind, Path(work))
    save(
        PARITY,
        {
            "versions": {name: version(name) for name in ("torch", "transformers", "onnxruntime", "onnxscript")},
            "rows": [dict(zip(COLUMNS, row, strict=True)) for row in rows],
        },
    )
    print(f"{len(kinds)} kinds, {len(rows)} graphs: {PAGE}")


def rows_of(kind: str, work: Path) -> Iterator[list[str]]:
    """Yield the table's rows for one kind of checkpoint."""
    source = ROOT / "demo" / "checkpoint" if kind == DEMO else tiny_checkpoints.write(kind, work / "checkpoint")
    for exporter in EXPORTERS:
        for precision in PRECISIONS:
            loaded = load(locate(str(source)))
            probe = make_probe(loaded)
            network = loaded.family.network(loaded.model, loaded.feature_extractor)
            graph = work / exporter / precision / "model.onnx"
            graph.parent.mkdir(parents=True)
            write_graph(ragged_graph(precision)(network), loaded.geometry, graph, exporter)
            check_graph(graph)
            parity = check_parity(graph, probe)
            if precision != "fp32":
                parity = convert(graph, precision, probe).parity
            yield row(kind, loaded.family.architecture, exporter, precision, parity, graph)


def whisper_row(kind: str, work: Path) -> list[str]:
    """Return the table's row for a Whisper, from a whole export."""
    source = tiny_whisper.write(WHISPERS[kind], work / "checkpoint")
    result = export_checkpoint(str(source), work / "models")
    report = json.loads((result.output / result.models.ensemble / "export.json").read_text(encoding="utf-8"))
    graphs = sorted((result.output / result.models.runner / "1").glob("*.onnx"))
    return row(kind, report["architecture"], "torchscript", report["precision"], result.parity, *graphs)


def row(kind: str, architecture: str, exporter: str, precision: str, parity: Parity, *graphs: Path) -> list[str]:
    """Return one row of the table."""
    return [
        kind,
        architecture,
        exporter,
        precision,
        f"{parity.max_abs_difference:.1e}",
        f"{parity.max_abs_batch_difference:.1e}",
        f"{parity.argmax_agreement:.2%}",
        f"{parity.decided_agreement:.2%}",
        ", ".join(f"no: {name}" for graph in graphs for name in inspect_graph(graph).outside_tensorrt) or "yes",
    ]


if __name__ == "__main__":
    main()
