"""Whether a value grew over a soak: a fitted line, and what it means beside the scatter around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MIN_POINTS = 5
# A drift over the whole run of less than so many standard deviations of the scatter does not stand out from it. The
# usual error of the slope would not do: samples of memory hang together, and it takes them for independent.
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
        """Whether the drift is lost in the scatter."""
        return abs(self.drift) <= NOISE_DEVIATIONS * self.scatter

    def words(self, form: Callable[[float], str]) -> str:
        """The trend in a sentence, its figures written by `form`."""
        if self.drift == 0 and self.scatter == 0:
            return f"{form(self.start)} throughout"
        direction = "up" if self.drift > 0 else "down"
        moved = f"{direction} by {form(abs(self.drift))} from {form(self.start)} over {self.span_s / 60:.1f} min"
        verdict = "within the noise" if self.is_noise else "more than the noise"
        return f"{moved}; scatter ±{form(self.scatter)}: {verdict}"


def fit(times_s: Sequence[float], values: Sequence[float]) -> Trend | None:
    """The trend of values over time; None when there are too few, or all of one moment."""
    if len(values) < MIN_POINTS or max(times_s) == min(times_s):
        return None
    if max(values) == min(values):
        return Trend(float(values[0]), 0.0, 0.0, max(times_s) - min(times_s))
    times, points = np.asarray(times_s, dtype=float), np.asarray(values, dtype=float)
    # Around the means: bytes by the billion would lose digits.
    slope = float(np.sum((times - times.mean()) * (points - points.mean())) / np.sum((times - times.mean()) ** 2))
    line = points.mean() + slope * (times - times.mean())
    scatter = float(np.std(points - line, ddof=2))
    return Trend(float(line[np.argmin(times)]), slope * float(np.ptp(times)), scatter, float(np.ptp(times)))
