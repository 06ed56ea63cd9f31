"""The report in files: `report.json` with everything, `report.csv` with one row a step, `report.html` for people."""

import csv
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from asr_loadtest.results import Latency, Report, ResourceSample, Step

SCHEMA = 1  # of report.json; it goes up when a field changes its meaning or goes away
NAMES = ("report.json", "report.csv", "report.html")

Cell = str | float | int | None


def write(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write the three files into the folder, which is made if it is missing, and return their paths."""
    from asr_loadtest.report.page import html  # matplotlib takes a second to import

    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / name for name in NAMES)
    for path, content in zip(paths, (to_json(report), to_csv(report), html(report)), strict=True):
        # File names may hold bytes that are no UTF-8.
        path.write_bytes(content.encode("utf-8", "backslashreplace"))
    return paths


def to_json(report: Report) -> str:
    """Return all fields of `asr_loadtest.results` as JSON, with the version of the schema and derived values."""
    steps = [{**dataclasses.asdict(step), "error_rate": step.error_rate, "ok": step.ok} for step in report.steps]
    content = {"schema": SCHEMA, "ok": report.ok, **dataclasses.asdict(report), "steps": steps}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def to_csv(report: Report) -> str:
    """Return CSV with one row a step, void ones too, with their reasons; columns that a step lacks are empty."""
    rows = [dict(_cells(step)) for step in report.steps]
    header = list(dict.fromkeys(name for row in rows for name in row))
    lines: list[str] = []
    writer = csv.DictWriter(_Lines(lines), header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return "".join(lines)


class _Lines:
    """A file for csv that collects lines in a list."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _cells(step: Step) -> Iterable[tuple[str, Cell]]:
    # The reasons come first, because a reader of a row has to see when it is no result.
    yield "ok", step.ok
    yield "void", "; ".join(step.void)
    yield "missed", "; ".join(step.missed)
    yield from dataclasses.asdict(step.load).items()
    for name in ("offered_rate", "achieved_rate", "answered_rate", "audio_rate", "requests", "error_rate"):
        yield name, getattr(step, name)
    yield from _latency("", step.latency)
    yield "errors", " ".join(f"{name}={number}" for name, number in sorted(step.errors.items()))
    yield from _latency("rejected_", step.rejected_latency)
    for name in ("checked", "changed", "wer", "solo_wer"):
        yield name, getattr(step, name)
    if step.streams is not None:
        yield "pieces", step.streams.pieces
        yield "late_pieces", step.streams.late_pieces
        yield from _latency("final_", step.streams.final)
        yield from _latency("answer_", step.streams.answer)
    for length_class, latency in step.by_class.items():
        yield from _latency(f"{length_class}_", latency)
    for member in step.members:
        for name, value in {**dataclasses.asdict(member), "compute_ms": member.compute_ms}.items():
            if name != "model":
                yield f"{member.model}_{name}", value
    yield from _resources(step.resources)
    for name, value in dataclasses.asdict(step.generator).items():
        yield f"generator_{name}", value


def _latency(prefix: str, latency: Latency) -> Iterable[tuple[str, Cell]]:
    for name, value in dataclasses.asdict(latency).items():
        yield f"{prefix}{name}", value


def _resources(samples: Iterable[ResourceSample]) -> Iterable[tuple[str, Cell]]:
    """Yield the mean and the highest of each resource over the measurement, without the ramp."""
    measured = [sample for sample in samples if sample.at_s >= 0]
    for field in dataclasses.fields(ResourceSample):
        if field.name == "at_s":
            continue
        values = [value for sample in measured if (value := getattr(sample, field.name)) is not None]
        yield f"{field.name}_mean", sum(values) / len(values) if values else None
        yield f"{field.name}_max", max(values, default=None)
