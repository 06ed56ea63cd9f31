"""The figures of `compare_gateway.py` -> their table in docs/benchmarks.md."""

from pathlib import Path
from typing import Any

from places import NOT_YET, fill, read_results, table

from gateway_bench.turns import DIRECT, GATEWAY

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results" / "gateway.json"
PLACE = "gateway"

Found = dict[str, Any]


def write_page() -> Path:
    """Put the results into the page; return its path."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read_results(RESULTS)), encoding="utf-8")
    return PAGE


def page(text: str, results: Found) -> str:
    """Return the page's text with the figures in place of those that it has.

    Raises:
        ValueError: the page has no place for the table.
    """
    return fill(text, [(PLACE, _part(results) if results else NOT_YET)], str(PAGE))


def _part(results: Found) -> str:
    columns = [
        "callers",
        "direct, requests/s",
        "gateway, requests/s",
        "gateway / direct",
        "rounds",
        "range of rounds",
        "p50, direct and gateway, ms",
        "CPU of the gateway a request, ms",
        "range of rounds",
    ]
    rows = [
        [
            number,
            f"{one[DIRECT]['rate']['median']:.1f}",
            f"{one[GATEWAY]['rate']['median']:.1f}",
            f"**{one['ratio']['whole']:.3f}** ± {one['ratio']['error']:.3f}",
            str(one["rounds"]),
            _range(one["ratio"], 2),
            f"{one[DIRECT]['p50_ms']['median']:.1f}, {one[GATEWAY]['p50_ms']['median']:.1f}",
            f"**{one[GATEWAY]['gateway_cpu_ms']['median']:.2f}**",
            _range(one[GATEWAY]["gateway_cpu_ms"], 2),
        ]
        for number, one in results["callers"].items()
    ]
    machine = results["machine"]
    listed = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Rounds of {results['seconds']:g} s; recordings of {results['length_s']:g} s.\n\n"
        f"{table(columns, rows)}\n"
        f"{_others(results)}\n"
        f"The gateway's process had {results['gateway_mb']} MB at the end.\n"
        f"The machine is an {machine['cpu']} with {machine['cores']} cores; Python {machine['python']}, {listed}.\n"
    )


def _others(results: Found) -> str:
    most = results["callers"][max(results["callers"], key=int)]
    costs = "; ".join(
        f"{name} {most[way]['cpu_ms']['median']:.1f} and {most[way]['server_cpu_ms']['median']:.1f} ms"
        for way, name in ((DIRECT, "direct"), (GATEWAY, "by the gateway"))
    )
    errors = sum(one["errors"] for one in results["callers"].values())
    failed = "No request failed." if not errors else f"{errors} requests failed."
    return f"The callers and the server took, a request and with the most callers: {costs}. {failed}"


def _range(spread: dict[str, float], digits: int) -> str:
    return f"{spread['min']:.{digits}f} to {spread['max']:.{digits}f}"
