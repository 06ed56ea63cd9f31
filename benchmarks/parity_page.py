"""The page docs/parity.md, written from the results of parity.py and engines/check_engines.py."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asr_export.graph.gate import DECIDED
from asr_export.graph.trace import OPSETS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
PARITY = ROOT / "benchmarks" / "results" / "parity.json"
ENGINES = ROOT / "benchmarks" / "results" / "engines.json"

BOTH = f"TorchScript at opset {OPSETS['torchscript']}, dynamo at {OPSETS['dynamo']}"
HEAD = f"""# Parity with PyTorch

How close is every kind of exported graph to its checkpoint?
`make parity` measures it and writes this page.
It traces a checkpoint of every supported kind with both exporters ({BOTH}).
Then it converts each graph to every precision.
All of them pass the [gate](export.md#the-gate).
The checkpoints are small and have random weights; the demo checkpoint is one more.

The figures compare log-probs on seven batches of mixed lengths, from the shortest recording to 20 seconds:

- *max abs Δ*: the largest difference between the graph, in a batch, and PyTorch for the same recording alone.
- *batched - solo*: the largest difference between the graph in a batch and the graph alone.
- *best label agrees*: how many of all frames have PyTorch's best label.
- *where decided*: the same, of the frames where PyTorch's two best labels are {DECIDED:g} nats or more apart.
- *TensorRT*: whether TensorRT takes all operators.

With random weights, many frames are near ties, which any rounding may turn over.

For Whisper, the figures compare logits in batches of five windows, with tokens in place of frames.
Its whole transcripts are compared with `generate()`, too.

"""
ENGINES_HEAD = """
## Engines

Does TensorRT take the graphs for an [engine](export.md#tensorrt)?
`make check-tensorrt` exports the small checkpoints with `--platform tensorrt`, with and without `--ragged`.
Then it runs the `build_engine.sh` of each export.
In the place of `trtexec` is TensorRT-RTX, which parses a graph and builds an engine without a GPU.
The cells say how many layers the network has, and how large the engine is.

TensorRT-RTX is another product than the TensorRT of data centres, which Triton needs.
So the table shows that a parser and a builder of TensorRT take the graphs and their profiles, and no more.
Nobody has run an engine yet, because there was no GPU: we know nothing of its accuracy and speed.

"""


def save(result: Path, content: dict[str, Any]) -> None:
    """Write results as JSON, and the page from all results that there are."""
    result.write_text(f"{json.dumps(content, indent=2, ensure_ascii=False)}\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the text of the page."""
    text = HEAD
    parity = json.loads(PARITY.read_text(encoding="utf-8"))
    text += f"{_table(parity['rows'][0], (row.values() for row in parity['rows']))}\n{_versions(parity)}, on CPU.\n"
    if ENGINES.exists():
        engines = json.loads(ENGINES.read_text(encoding="utf-8"))
        text += f"{ENGINES_HEAD}{_engines(engines['engines'])}\n{_versions(engines)}, on CPU.\n"
    return text


def _engines(engines: list[dict[str, Any]]) -> str:
    """Return a table with a row for each kind, and a column for each graph and precision."""
    cells: dict[str, dict[str, str]] = {}
    for engine in engines:
        cells.setdefault(engine["kind"], {})[f"{engine['graph']}, {engine['precision']}"] = _outcome(engine)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = ((kind, *(row.get(column, "") for column in columns)) for kind, row in cells.items())
    return _table(("kind", *columns), rows)


def _outcome(engine: dict[str, Any]) -> str:
    if engine["refused"]:
        return f"refused: {engine['refused']}"
    return f"{engine['layers']:,} layers, {engine['engine_bytes'] / 1e6:.1f} MB"


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines: list[Sequence[str]] = [tuple(columns)]
    lines.append(["---"] * len(lines[0]))
    lines += [tuple(row) for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _versions(results: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in results["versions"].items())
