"""Trends: whether a value grew over a soak, by a fitted line and the scatter around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MIN_POINTS = 5
# A drift over the whole run counts as noise up to this many standard deviations of the scatter. The usual error of the
# slope would not do: it treats samples as independent, but each sample of memory depends on the one before.
NOISE_DEVIATIONS = 2.0


@dataclass(frozen=True)
class Trend:
    """A straight line by least squares."""

    start: float  # of the line, at the first point
    drift: float  # of the line, from the first point to the last
    scatter: float  # standard deviation around the line
    span_s: float  # from the first point to the last

    @property
    def is_noise(self) -> bool:
        """Return whether the scatter explains the drift."""
        return abs(self.drift) <= NOISE_DEVIATIONS * self.scatter

    def words(self, form: Callable[[float], str]) -> str:
        """Return the trend in a sentence; `form` writes its figures."""
        if self.drift == 0 and self.scatter == 0:
            return f"{form(self.start)} throughout"
        direction = "up" if self.drift > 0 else "down"
        moved = f"{direction} by {form(abs(self.drift))} from {form(self.start)} over {self.span_s / 60:.1f} min"
        verdict = "within the noise" if self.is_noise else "more than the noise"
        return f"{moved}; scatter ±{form(self.scatter)}: {verdict}"


def fit(times_s: Sequence[float], values: Sequence[float]) -> Trend | None:
    """Return the trend of values over time; None when there are too few, or all are of one moment."""
    if len(values) < MIN_POINTS or max(times_s) == min(times_s):
        return None
    if max(values) == min(values):
        return Trend(float(values[0]), 0.0, 0.0, max(times_s) - min(times_s))
    times, points = np.asarray(times_s, dtype=float), np.asarray(values, dtype=float)
    # Sums are taken around the means, because billions of bytes would lose digits.
    slope = float(np.sum((times - times.mean()) * (points - points.mean())) / np.sum((times - times.mean()) ** 2))
    line = points.mean() + slope * (times - times.mean())
    scatter = float(np.std(points - line, ddof=2))
    return Trend(float(line[np.argmin(times)]), slope * float(np.ptp(times)), scatter, float(np.ptp(times)))
