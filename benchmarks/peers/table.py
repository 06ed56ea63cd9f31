"""The figures of `compare.py` -> the Markdown tables of docs/benchmarks.md."""

from typing import Any

TITLES = {
    "loop": "bare onnxruntime, all cores on one recording",
    "workers": "bare onnxruntime, a core for each recording",
    "pipeline": "`transformers` pipeline",
    "optimum": "optimum `ORTModelForCTC`",
    "fastapi": "FastAPI + transformers",
    "pytriton": "PyTriton `@batch`",
    "kit": "**this kit**, fp32",
    "kit-int8": "**this kit**, int8",
}


def tables(figures: dict[str, Any]) -> str:
    """Return all tables of all models."""
    return "\n\n".join(
        table for model, found in figures.items() for table in (_peers(model, found), _ratios(found), _breakdown(found))
    )


def _peers(model: str, found: dict[str, Any]) -> str:
    head = [
        f"| {model} | mixed, audio s/s | range | of the limit | equal, audio s/s | mixed / equal | p50, ms | p95, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = []
    for name, peer in found["peers"].items():
        mixed, latency = peer["mixed_rtfx"], peer["latency"]
        limit = found["ratios"]["mixed"].get(f"{name} / limit")
        cells = [
            TITLES[name],
            f"{mixed['median']:.1f}",
            f"{mixed['min']:.1f} to {mixed['max']:.1f}",
            f"{limit['median']:.2f}" if limit else "",
            f"{peer['equal_rtfx']['median']:.1f}",
            f"{peer['mixed_to_equal']['median']:.2f}",
            f"{latency['p50_ms']:.1f}",
            "" if latency["p95_ms"] is None else f"{latency['p95_ms']:.1f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*head, *rows])


def _ratios(found: dict[str, Any]) -> str:
    head = ["| throughput | mixed | range of rounds | equal | range of rounds |", "|---|---|---|---|---|"]
    rows = []
    for pair, mixed in found["ratios"]["mixed"].items():
        equal = found["ratios"]["equal"][pair]
        cells = [pair]
        for ratio in (mixed, equal):
            cells += [f"{ratio['median']:.2f}", f"{ratio['min']:.2f} to {ratio['max']:.2f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*head, *rows])


def _breakdown(found: dict[str, Any]) -> str:
    served = {name: peer for name, peer in found["peers"].items() if "members_ms" in peer}
    lines = ["| 5 s, one caller, ms on average | queue | input | compute | output |", "|---|---|---|---|---|"]
    for name, peer in served.items():
        for member, parts in peer["members_ms"].items():
            cells = [f"{parts[part]:.2f}" for part in ("queue", "input", "infer", "output")]
            lines.append(f"| {TITLES[name]}: {member} | {' | '.join(cells)} |")
        for part, milliseconds in peer["breakdown_ms"].items():
            lines.append(f"| {TITLES[name]}: {part} | | | {milliseconds:.2f} | |")
    return "\n".join(lines)
