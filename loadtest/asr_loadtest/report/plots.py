"""The plots of the page, as SVG. A plot without figures is left out.

matplotlib draws the plots once, so that the page needs no script and no network, and prints as it looks. pyplot is not
used: it would keep the figures, and choose a window system.
"""

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from asr_loadtest.report import columns, wording
from asr_loadtest.results import Report, Step

INCHES = (5.2, 3.2)  # letters stay readable on a phone
QUANTILES = (("p50_ms", "p50", "#7fb3d5"), ("p95_ms", "p95", "#1f6fa8"), ("p99_ms", "p99", "#0b2f4a"))
# For each member of an ensemble: the deep tone is for compute, the pale tone for the queue.
TONES = (
    ("#2a7f62", "#b5dccd"),
    ("#c8553d", "#f0c5ba"),
    ("#4b5fa5", "#c4cbe6"),
    ("#8a6d1d", "#e6d8a8"),
    ("#7b3f86", "#dcc0e1"),
)
INK, FAINT, VOID, BAD = "#24313c", "#8796a3", "#a0a7ad", "#c0392b"
MIB = 2**20
FEWEST_PLACES = 4  # with fewer, the bar of a single step would be as wide as the plot

_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6eaed",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # a name may hold a $
    "svg.fonttype": "path",  # looks the same everywhere, whatever fonts there are
}


@dataclass(frozen=True)
class Plot:
    """One plot, with words for people who cannot see it."""

    title: str
    svg: str
    caption: str


def of_steps(report: Report) -> list[Plot]:
    """Return the plots of all steps against their load."""
    plots = (_latency, _throughput, _stages, _batches, _resources, _classes)
    return [plot for make in plots if (plot := make(report)) is not None]


def draw(title: str, caption: str, paint: Callable[[Figure], None], *, height: float = 1.0) -> Plot:
    """Return a plot that `paint` fills; `height` is a multiple of the usual height."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(INCHES[0], INCHES[1] * height), layout="constrained")
        paint(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return Plot(title, file.getvalue(), caption)


def legend(figure: Figure, columns: int = 4) -> None:
    """Draw the legend above the plot, where it hides nothing."""
    figure.legend(loc="outside upper left", ncols=columns, columnspacing=1.2, borderpad=0.2)


def _valid(report: Report, *, closed: bool = False) -> list[Step]:
    """Return the valid steps of the closed loop, or of all other loads, in the order of the load."""
    steps = [step for step in report.steps if (step.load.loop == "closed") == closed and not step.void]
    return sorted(steps, key=lambda step: (step.load.callers or 0) if closed else step.offered_rate)


def _latency(report: Report) -> Plot | None:
    steps, closed = _valid(report), _valid(report, closed=True)
    void = [step.offered_rate for step in report.steps if step.void and step.load.loop != "closed"]
    if len(steps) < 2 or not any(step.latency.p50_ms is not None for step in steps):
        return None
    measured = "lag" if report.of_streams else "latency"

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(xlabel=f"offered {wording.unit(report)}", ylabel=f"{measured}, ms")
        for name, label, colour in QUANTILES:
            if any(getattr(step.latency, name) is not None for step in steps):
                values = [_or_gap(getattr(step.latency, name)) for step in steps]
                axes.plot(_offered(steps), values, "o-", color=colour, label=label)
        if missed := [step for step in steps if step.missed]:
            rings = [_or_gap(step.latency.p95_ms) for step in missed]
            axes.plot(_offered(missed), rings, "o", color=BAD, mfc="none", markersize=9, label="missed")
        if closed:
            rates = [step.achieved_rate for step in closed]
            values = [_or_gap(step.latency.p95_ms) for step in closed]
            axes.plot(rates, values, "D", color="#c8553d", mfc="none", label="p95, closed loop")
        for limit, name in ((report.slo.p95_ms, "p95"), (report.slo.p99_ms, "p99")):
            if limit is not None:
                axes.axhline(limit, color=BAD, linestyle="--", linewidth=1.1, label=f"SLO: {name} {limit:g} ms")
        _mark_void(axes, void)
        _scale(axes, [value for step in steps for value in (step.latency.p50_ms, step.latency.p95_ms) if value])
        _mark_capacity(axes, report)
        legend(figure)

    caption = (
        "The lag of partial results, from the oldest sample that is new in them."
        if report.of_streams
        else "From the scheduled arrival to the answer, of requests that succeeded."
    )
    return draw(
        f"{measured.capitalize()} against offered load",
        f"{caption} Marks on the axis show void steps.",
        paint,
    )


def _throughput(report: Report) -> Plot | None:
    steps = _valid(report)
    if len(steps) < 2:
        return None

    def paint(figure: Figure) -> None:
        rates, audio = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        offered = _offered(steps)
        rates.axline((0, 0), slope=1, color=FAINT, linestyle=":", linewidth=1.2, label="offered")
        rates.plot(offered, [step.answered_rate for step in steps], "o-", color="#2a7f62", label="answered")
        if any(step.errors for step in steps):
            failed = [max(0.0, step.achieved_rate - step.answered_rate) for step in steps]
            rates.plot(offered, failed, "x-", color=BAD, linewidth=1.1, label="errors")
        _from_zero(rates, max(offered))
        _mark_capacity(rates, report)
        rates.set_ylabel(wording.unit(report))
        legend(figure)
        audio.plot(offered, [step.audio_rate for step in steps], "o-", color="#4b5fa5")
        _from_zero(audio, max(offered))
        audio.set_ylabel("RTFx")
        audio.set_xlabel(f"offered {wording.unit(report)}")

    caption = (
        "Seconds of audio that were answered per second: the number of streams that the server kept up with."
        if report.of_streams
        else "Answered requests per second against offered ones, and seconds of audio answered per second (RTFx)."
    )
    return draw("Throughput", caption, paint, height=1.25)


def _stages(report: Report) -> Plot | None:
    steps = [step for step in [*_valid(report), *_valid(report, closed=True)] if step.members]
    if not steps:
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(ylabel="ms per request")
        places = range(len(steps))
        bottom = [0.0] * len(steps)
        for model, (deep, pale) in zip(columns.member_names(report), _cycle(TONES), strict=False):
            name = _short(model)
            for part, colour in (("queue_ms", pale), ("compute_ms", deep)):
                heights = [_member(step, model, part) for step in steps]
                label = f"{name} {part.removesuffix('_ms')}"
                axes.bar(places, heights, 0.7, bottom, color=colour, label=label)
                bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        _label_steps(axes, steps)
        legend(figure, 2)

    caption = "Mean time of a request in each model, in the queue and in compute, by Triton's statistics."
    return draw("Where the time goes", caption, paint, height=1.2)


def _batches(report: Report) -> Plot | None:
    steps = [step for step in [*_valid(report), *_valid(report, closed=True)] if step.members]
    if len(steps) < 2:
        return None
    in_open_loop = sum(step.load.loop != "closed" for step in steps)  # which come first

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(ylabel="requests per execution")
        for model, (deep, _) in zip(columns.member_names(report), _cycle(TONES), strict=False):
            sizes = [_member(step, model, "average_batch") for step in steps]
            axes.plot(range(in_open_loop), sizes[:in_open_loop], "o-", color=deep, label=_short(model))
            axes.plot(range(in_open_loop, len(steps)), sizes[in_open_loop:], "D", color=deep, mfc="none")
        axes.set_ylim(0, 1.1 * max(member.average_batch for step in steps for member in step.members) or 1.0)
        _label_steps(axes, steps)
        legend(figure)

    return draw("Average batch", "Average number of requests that each model computes at a time.", paint)


def _resources(report: Report) -> Plot | None:
    steps = [*_valid(report), *_valid(report, closed=True)]
    rows = [
        ("cpu_cores", "CPU cores", 1.0, "#2a7f62"),
        ("memory_bytes", "memory, MiB", 1.0 / MIB, "#4b5fa5"),
        ("gpu_utilization", "GPU, %", 100.0, "#c8553d"),
        ("gpu_memory_bytes", "GPU mem., MiB", 1.0 / MIB, "#8a6d1d"),
    ]
    values = {name: [_measured(step, name) for step in steps] for name, *_ in rows}
    rows = [row for row in rows if any(values[row[0]])]
    if not rows:
        return None

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, label, factor, colour) in zip(panels, rows, strict=True):
            for place, found in enumerate(values[name]):
                if found:
                    axes.bar(place, factor * sum(found) / len(found), 0.6, color=colour)
                    axes.plot(place, factor * max(found), "_", color=INK, markersize=12, markeredgewidth=1.4)
            axes.set_ylabel(label)
            axes.set_ylim(0, None)
        _label_steps(panels[-1], steps)

    caption = "All processes of the server together. Bars are means, dashes are the highest samples."
    return draw("What the server takes", caption, paint, height=max(1.0, 0.5 * len(rows) + 0.15))


def _classes(report: Report) -> Plot | None:
    steps = _valid(report) or _valid(report, closed=True)
    # An overloaded step would flatten the others, and says nothing about the service.
    steps = [step for step in steps if not step.missed] or steps
    names = list(dict.fromkeys(name for step in steps for name in step.by_class))
    if not any(latency.p50_ms is not None for step in steps for latency in step.by_class.values()):
        return None

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(ylabel="latency, ms")
        width = 0.8 / len(steps)
        tones = mpl.colormaps["viridis_r"].resampled(len(steps) + 2)
        for number, step in enumerate(steps):
            colour = tones(number + 1)
            for place, name in enumerate(names):
                latency = step.by_class.get(name)
                if latency is None or latency.p50_ms is None:
                    continue
                x = place - 0.4 + (number + 0.5) * width
                label = wording.load(step.load) if place == 0 else None
                axes.bar(x, latency.p50_ms, 0.9 * width, color=colour, label=label)
                if latency.p95_ms is not None:
                    axes.plot([x, x], [latency.p50_ms, latency.p95_ms], color=colour, linewidth=1.2)
                    axes.plot(x, latency.p95_ms, "_", color=INK, markersize=max(3.0, 60 * width / len(names)))
        axes.set_xticks(range(len(names)), [wording.clean(name) for name in names])
        axes.grid(visible=False, axis="x")
        legend(figure)

    return draw(
        "Latency by length of the recording",
        "Bars end at p50, dashes are at p95. Steps that missed the SLO are left out.",
        paint,
    )


def _offered(steps: Sequence[Step]) -> list[float]:
    return [step.offered_rate for step in steps]


def _or_gap(value: float | None) -> float:
    """Return the value, or NaN, at which a line has a gap."""
    return math.nan if value is None else value


def _mark_void(axes: Axes, rates: Sequence[float]) -> None:
    if rates:
        on_axis = axes.get_xaxis_transform()
        axes.plot(rates, [0] * len(rates), "x", color=VOID, clip_on=False, transform=on_axis, label="void")


def _mark_capacity(axes: Axes, report: Report) -> None:
    if report.capacity is not None and report.capacity.rate is not None:
        axes.axvline(report.capacity.rate, color="#2a7f62", linewidth=1.1, linestyle="-.", label="capacity")


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Make the axis logarithmic where the largest value would flatten all others."""
    axes.set_xlim(0, None)
    if values and max(values) > 15 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, None)


def _from_zero(axes: Axes, largest: float) -> None:
    axes.set_xlim(0, 1.06 * largest)
    axes.set_ylim(0, None)


def _label_steps(axes: Axes, steps: Sequence[Step]) -> None:
    labels = [wording.load(step.load).replace(", ", "\n") for step in steps]
    axes.set_xlim(-0.6, max(len(steps), FEWEST_PLACES) - 0.4)
    crowded = len(steps) > 9
    axes.set_xticks(range(len(steps)), labels, rotation=60 if crowded else 0, ha="right" if crowded else "center")
    axes.set_xlabel(_load_label(steps))
    axes.grid(visible=False, axis="x")


def _load_label(steps: Sequence[Step]) -> str:
    if any(step.load.loop == "streams" for step in steps):
        return "load: live streams"
    return "load: offered requests/s" + (", or callers" if any(step.load.loop == "closed" for step in steps) else "")


def _member(step: Step, model: str, value: str) -> float:
    found = columns.member(step, model)
    return 0.0 if found is None else float(getattr(found, value))


def _measured(step: Step, name: str) -> list[float]:
    """Return the samples of a resource within the measurement."""
    values = (getattr(sample, name) for sample in step.resources if sample.at_s >= 0)
    return [float(value) for value in values if value is not None]


def _cycle(tones: Sequence[Any]) -> Iterable[Any]:
    while True:
        yield from tones


def _short(model: str) -> str:
    """Return a model's name for a place with little room."""
    name = wording.clean(model)
    return name if len(name) <= 24 else f"{name[:23]}…"
