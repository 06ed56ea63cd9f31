"""The figures of `compare_spark.py` -> the tables of docs/benchmarks-spark.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from places import NOT_YET, fill, read_results, table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks-spark.md"
RESULTS = ROOT / "benchmarks" / "results" / "spark.json"
PARTS = ("mixed", "small", "large")
TITLES = {
    "client": "`Client.transcribe_many`, 16 requests",
    "spark": "Spark, `repartition(2)`",
    "spark-coalesce": "Spark, `coalesce(2)`",
    "spark-as-listed": "Spark, as it divides the files",
}

Found = dict[str, Any]


def write_page() -> Path:
    """Put the results into the page; return its path."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read_results(RESULTS)), encoding="utf-8")
    return PAGE


def page(text: str, results: Found) -> str:
    """Return the page's text with the figures in place of those that it has.

    Raises:
        ValueError: the page has no place for a table.
    """
    return fill(text, _parts(results), str(PAGE))


def _parts(results: Found) -> Iterator[tuple[str, str]]:
    for name in PARTS:
        yield name, _part(results[name]) if name in results else NOT_YET
    yield "machine", "".join(_machine(name, found["machine"]) for name, found in results.items()) or NOT_YET


def _part(found: Found) -> str:
    columns = ["", "s", "range", "of the client's time", "range", "CPU a recording, ms"]
    rows = [
        [
            TITLES[name],
            f"{one['seconds']['median']:.1f}",
            _range(one["seconds"], 1),
            f"{one['to_client']['median']:.2f}",
            _range(one["to_client"], 2),
            f"{one['cpu_ms']:.1f}",
        ]
        for name, one in found["contenders"].items()
    ]
    size = f" of {found['file_mb']:.0f} MB" if found["file_mb"] >= 1 else ""
    fullest = ""
    if shares := found.get("fullest"):
        fullest = (
            f"In eight tasks, the fullest gets {shares['repartition']:.2f} times the mean of the audio by "
            f"`repartition`, {shares['coalesce']:.2f} times by `coalesce`.\n"
        )
    memory = ", ".join(f"{mb} MB ({kind})" for kind, mb in _of_each(found["most_mb"]).items())
    return (
        f"{found['recordings']} files{size}, {found['audio_s']:.0f} s in all; {found['rounds']} rounds.\n\n"
        f"{table(columns, rows)}\n"
        f"{_whole(found)}\nThe JVM had a heap of {found['heap_mb']} MB.\nMost memory of a process: {memory}.\n"
        f"{fullest}"
    )


def _whole(found: Found) -> str:
    failed, different = found["errors"], found["different"]
    if not failed and not different:
        return "In each round all recordings got the text that the client got in the first one."
    return f"In the worst round {failed} recordings failed, and {different} had another text than the client got."


def _of_each(most_mb: dict[str, int]) -> dict[str, int]:
    names = {"JVM": "the JVM", "Python workers": "a Python worker"}
    return {names[kind]: mb for kind, mb in most_mb.items()}


def _machine(part: str, machine: Found) -> str:
    listed = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    java = f"Java {machine['java']}"
    return f"- {part}: {machine['cpu']}, {machine['cores']} cores; Python {machine['python']}, {java}, {listed}.\n"


def _range(spread: dict[str, float], digits: int) -> str:
    return f"{spread['min']:.{digits}f} to {spread['max']:.{digits}f}"
