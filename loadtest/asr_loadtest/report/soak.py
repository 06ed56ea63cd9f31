"""A soak: whether memory, file descriptors, shared memory or latency grow while the load stays the same.

A line is fitted to the second half. In the first half a server grows to what its longest recordings and fullest batches
take. Then it stays there, while a leak goes on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asr_loadtest.report import plots, trend, wording
from asr_loadtest.report.trend import Trend
from asr_loadtest.results import Step


@dataclass(frozen=True)
class TimeSeries:
    """One value over the time of the measurement."""

    name: str
    times_s: tuple[float, ...]
    values: tuple[float, ...]
    form: Callable[[float], str]  # writes a value with its unit
    unit: str  # of the axis
    factor: float  # from the value to that unit

    @property
    def second_half(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return times and values of the second half."""
        middle = (min(self.times_s) + max(self.times_s)) / 2
        points = [(at, value) for at, value in zip(self.times_s, self.values, strict=True) if at >= middle]
        return tuple(at for at, _ in points), tuple(value for _, value in points)

    @property
    def trend(self) -> Trend | None:
        """Return the line through the second half; None if there are too few values."""
        return trend.fit(*self.second_half)

    @property
    def words(self) -> str:
        """Return the change of the value, in a sentence."""
        fitted = self.trend
        if fitted is None:
            return "too few samples for a trend"
        return f"{self.form(self.values[0])} at the start; in the second half {fitted.words(self.form)}"


def time_series(step: Step) -> list[TimeSeries]:
    """Return the values of a step over time, without the ramp."""
    samples = [sample for sample in step.resources if sample.at_s >= 0]

    def resource(name: str, field: str, form: Callable[[float], str], unit: str, factor: float) -> TimeSeries:
        points = [(sample.at_s, value) for sample in samples if (value := getattr(sample, field)) is not None]
        return _series(name, points, form, unit, factor)

    windows = [
        ((window.start_s + window.end_s) / 2, window.latency.p95_ms)
        for window in step.windows
        if window.latency.p95_ms is not None
    ]
    found = (
        resource("memory", "memory_bytes", wording.mebibytes, "MiB", 1 / plots.MIB),
        resource("file descriptors", "file_descriptors", lambda value: f"{value:.1f}", "number", 1.0),
        resource("shared memory", "shared_memory_bytes", wording.mebibytes, "MiB", 1 / plots.MIB),
        resource("GPU memory", "gpu_memory_bytes", wording.mebibytes, "MiB", 1 / plots.MIB),
        _series("p95 of each window", windows, lambda value: f"{wording.milliseconds(value)} ms", "ms", 1.0),
    )
    return [series for series in found if series.values]


def plot(step: Step, found: Sequence[TimeSeries]) -> plots.Plot:
    """Return a plot of all series, one above the other, with their lines."""

    def paint(figure: Figure) -> None:
        panels = figure.subplots(len(found), 1, sharex=True, squeeze=False)[:, 0]
        for axes, series in zip(panels, found, strict=True):
            _paint(axes, series)
        panels[-1].set_xlabel("minutes of the measurement")

    title = f"Over time, at {wording.load(step.load)}"
    caption = "Samples of all processes of the server, p95 of each window, and the line through the second half."
    return plots.draw(title, caption, paint, height=0.55 * len(found) + 0.2)


def _paint(axes: Axes, series: TimeSeries) -> None:
    minutes = [at_s / 60 for at_s in series.times_s]
    axes.plot(minutes, [series.factor * value for value in series.values], ".", color="#4b5fa5", markersize=3.5)
    if (fitted := series.trend) is not None:
        ends = [series.factor * value for value in (fitted.start, fitted.start + fitted.drift)]
        later = [at_s / 60 for at_s in series.second_half[0]]
        axes.plot([min(later), max(later)], ends, color=plots.BAD, linewidth=1.2)
    axes.set_title(f"{series.name}, {series.unit}", fontsize=9)
    lowest, highest = series.factor * min(series.values), series.factor * max(series.values)
    # There is room above and below: in a plot that zooms in on a thousandth, noise looks like a leak.
    room = max(0.1 * highest, 0.3 * (highest - lowest)) or 1.0
    axes.set_ylim(max(0.0, lowest - room), highest + room)


def _series(
    name: str, points: Sequence[tuple[float, float]], form: Callable[[float], str], unit: str, factor: float
) -> TimeSeries:
    return TimeSeries(name, tuple(at for at, _ in points), tuple(value for _, value in points), form, unit, factor)
