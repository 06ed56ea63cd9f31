"""How close every kind of exported graph is to its checkpoint: makes docs/parity.md.

    python benchmarks/parity.py

Exports a random checkpoint of each kind (and the demo checkpoint) through the whole pipeline; the figures are those of
the gate, so that a kind which does not pass is an error and not a row.
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from asr_export import ExportResult, export_checkpoint
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
sys.path.insert(0, str(ROOT / "tests" / "support"))

import tiny_checkpoints  # noqa: E402

HEAD = """# Parity with PyTorch

Made by `make parity`, which exports a small checkpoint with random weights of every supported kind, and the demo
checkpoint. Log-probs; seven batches of mixed lengths, from the shortest recording to 20 seconds. *Max abs Δ*: the
graph, in a batch, against PyTorch for the same recording alone. *Batched - solo*: the graph in a batch against the
graph alone. All operators are within the list that TensorRT takes.

"""
COLUMNS = ("kind", "architecture", "exporter", "precision", "max abs Δ", "batched - solo", "argmax agrees")


def main() -> None:
    """Export every kind and write the page."""
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    with tempfile.TemporaryDirectory() as work:
        for kind in tqdm([*tiny_checkpoints.KINDS, "demo checkpoint"], unit="kind", file=sys.stderr):
            folder = Path(work) / kind
            demo = kind == "demo checkpoint"
            source = ROOT / "demo" / "checkpoint" if demo else tiny_checkpoints.write(kind, folder / "checkpoint")
            rows.append(row(kind, export_checkpoint(str(source), folder / "models")))
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "onnxruntime"))
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    PAGE.write_text(f"{HEAD}{table}\n\n{versions}, on CPU.\n", encoding="utf-8")
    print(f"{len(rows) - 2} kinds: {PAGE}")


def row(kind: str, result: ExportResult) -> list[str]:
    """One line of the table."""
    report = json.loads((result.output / result.models.ensemble / "export.json").read_text(encoding="utf-8"))
    parity = result.parity
    return [
        kind,
        report["architecture"],
        f"TorchScript, opset {report['opset']}",
        report["precision"],
        f"{parity.max_abs_difference:.1e}",
        f"{parity.max_abs_batch_difference:.1e}",
        f"{parity.argmax_agreement:.2%}",
    ]


if __name__ == "__main__":
    main()
