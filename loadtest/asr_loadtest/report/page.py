"""The report as one page of HTML, without scripts or files from elsewhere. Every name on it is escaped."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup

from asr_loadtest.report import columns, plots, soak, wording
from asr_loadtest.report.columns import Column
from asr_loadtest.results import Report, Step
from asr_loadtest.steps import validity

_TEMPLATE = "report.html.jinja"
_LOOPS = {"closed": "closed loop", "streams": "live streams"}  # without arrivals of their own

# Two texts for each kind of load: what is measured, above the table; how the load is made, at the end of the page.
REQUESTS_EXPLAINED = (
    "Latency in milliseconds, from the scheduled arrival to the answer",
    "Requests are sent on a schedule that does not wait for answers, unless the load is a number of callers. Latency "
    "counts from the scheduled time.",
)
STREAMS_EXPLAINED = (
    "Lag in milliseconds: of partial results from the oldest sample that is new in them, of final ones from the end of "
    "their last word",
    "Streams are sent as fast as they are spoken. Lags count from the time at which something was spoken. Late pieces "
    "had to wait for the answer to the piece before.",
)


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    label: str
    cells: tuple[str, ...]
    missed: tuple[str, ...] = ()
    is_capacity: bool = False


@dataclass(frozen=True)
class Table:
    """A table of steps."""

    groups: tuple[tuple[str, int], ...]  # heads above the heads, and how many columns each spans
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


def html(report: Report) -> str:
    """Return the page. It shows void steps with their reasons, and without figures."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("asr_loadtest.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(_content(report))


def image(plot: plots.Plot) -> str:
    """Return the plot as the address of an image. Inline, the names in its SVG would mix with those of other plots."""
    return "data:image/svg+xml;base64," + base64.b64encode(plot.svg.encode()).decode("ascii")


def _content(report: Report) -> dict[str, Any]:
    valid = [step for step in report.steps if not step.void]
    soaked = valid[0] if report.kind == "soak" and valid else None
    found = soak.time_series(soaked) if soaked else []
    drawn = plots.of_steps(report)
    members = columns.members(report)
    return {
        "report": report,
        "wording": wording,
        "verdict": wording.verdict(report),
        "state": _state(report, valid),
        "tiles": _tiles(report, valid),
        "results": _table(valid, columns.results(report), report),
        "explained": STREAMS_EXPLAINED if report.of_streams else REQUESTS_EXPLAINED,
        "members": _table(valid, members, report) if members else None,
        "generator": _table(report.steps, columns.generator(), report),
        "void": [step for step in report.steps if step.void],
        "failing": [step for step in valid if step.errors],
        "soak": soaked,
        "time_series": found,
        "plots": [*([soak.plot(soaked, found)] if soaked and found else []), *drawn],
        "image": image,
        "rules": _rules(report),
        "facts": _facts(report),
    }


def _state(report: Report, valid: Sequence[Step]) -> str:
    if report.ok or not valid:
        return "ok" if report.ok else "void"
    return "missed" if report.kind == "search" or any(step.missed for step in valid) else "void"


def _finalize(value: object) -> object:
    # Text that a macro of the template has made comes as Markup.
    return wording.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _table(steps: Sequence[Step], chosen: Sequence[Column], report: Report) -> Table:
    groups: list[tuple[str, int]] = []
    for column in chosen:
        same = groups and groups[-1][0] == column.group
        groups[-1 if same else len(groups) :] = [(column.group, groups[-1][1] + 1 if same else 1)]
    return Table(
        groups=tuple(groups) if any(name for name, _ in groups) else (),
        heads=tuple(column.head for column in chosen),
        rows=tuple(
            Row(
                label=wording.load(step.load),
                cells=tuple(column.cell(step) for column in chosen),
                missed=step.missed,
                is_capacity=_is_capacity(report, step),
            )
            for step in steps
        ),
    )


def _is_capacity(report: Report, step: Step) -> bool:
    """Return whether a search found this step."""
    return report.capacity is not None and step.ok and step.load.rate == report.capacity.rate


def _tiles(report: Report, valid: Sequence[Step]) -> list[tuple[str, str]]:
    """Return figure and label of each tile: of the best valid step that kept its promises; none without such a step."""
    kept = [step for step in valid if step.ok and step.load.loop != "closed"] or [step for step in valid if step.ok]
    if not kept:
        return []
    best = max(kept, key=lambda step: step.answered_rate)
    latency = best.latency
    quantile, value = ("p99", latency.p99_ms) if report.slo.p99_ms is not None else ("p95", latency.p95_ms)
    return [
        (
            (wording.load(best.load), "at a time")
            if report.of_streams
            else (f"{wording.rate(best.answered_rate)}/s", "requests answered")
        ),
        (wording.rate(best.audio_rate), "seconds of audio per second (RTFx)"),
        (f"{wording.milliseconds(value)} ms", f"{quantile} {'lag' if report.of_streams else 'latency'}"),
        (wording.percent(best.error_rate), "errors"),
    ]


def _rules(report: Report) -> list[str]:
    tolerances = {step.generator.late_tolerance_ms for step in report.steps}
    tolerance = wording.listing(f"{value:g}" for value in sorted(tolerances))
    late = wording.percent(validity.MAX_LATE_SHARE)
    sent = "pieces" if report.of_streams else "requests"
    return [
        f"more than {late} of its {sent} were sent more than {tolerance} ms late,",
        f"the generator took more than {validity.MAX_CPU_CORES:g} of a processor core,",
        f"less than {wording.percent(validity.MIN_SENT_SHARE)} of the scheduled {sent} were sent,",
        f"it had fewer than the {validity.needed_requests(report.slo):,} requests that its quantiles need.",
    ]


def _facts(report: Report) -> list[tuple[str, str]]:
    """Return the facts of how the load test was measured: name and value."""
    machine, target = report.machine, report.target
    memory = wording.mebibytes(machine.memory_bytes)
    loads = [step.load for step in report.steps]
    return [
        ("Started", report.started_at),
        ("Command", report.command),
        ("Server", wording.target(report)),
        ("Models, in order", ", ".join(target.members) or "not known"),
        ("Server's processes", "on this machine, watched" if target.local else "on another machine, not watched"),
        ("Recordings", wording.profile(report)),
        ("Length classes", ", ".join(f"{name}: {number}" for name, number in report.profile.classes.items())),
        ("Arrivals", _together(load.arrivals or _LOOPS[load.loop] for load in loads)),
        ("Seeds", _together(str(load.seed) for load in loads)),
        ("Ramp, in no figure", _together(wording.duration(load.ramp_s) for load in loads)),
        ("Measured, each step", _together(wording.duration(load.measured_s) for load in loads)),
        (
            "Machine of the generator",
            f"{machine.cpu}, {machine.cores} cores, {memory}",
        ),
        ("Python", machine.python),
        ("Packages", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
    ]


def _together(values: Iterable[str]) -> str:
    """Return each value once, in their order."""
    return ", ".join(dict.fromkeys(values))
