"""Figures that steps of requests and of live streams have in common."""

from collections.abc import Sequence

from asr_loadtest.results import Generator

WINDOWS = 3  # of a step; of a soak one for each minute
_SOAK_WINDOW_S = 60.0
_SOAK_S = 300.0  # a measurement of this length or more is one: whether it drifts is then the question
# What the client calls a server that has too much to do.
REJECTED = "QueueFull"


def window_edges(begin_s: float, end_s: float) -> list[tuple[float, float]]:
    """Begin and end of each part of a measurement."""
    measured_s = end_s - begin_s
    number = WINDOWS if measured_s < _SOAK_S else round(measured_s / _SOAK_WINDOW_S)
    width_s = measured_s / number
    return [(begin_s + index * width_s, begin_s + (index + 1) * width_s) for index in range(number)]


def generator_of(
    late_ms: Sequence[float], scheduled: int, cpu_cores: float, late_tolerance_ms: float, *, can_be_late: bool = True
) -> Generator:
    """How the generator fared.

    Args:
        late_ms: of what was sent, how long after its time.
        scheduled: what was to be sent.
        cpu_cores: that it took.
        late_tolerance_ms: from when on something counts as late.
        can_be_late: what is sent has a time of its own.
    """
    return Generator(
        scheduled=scheduled,
        sent=len(late_ms),
        late=sum(late > late_tolerance_ms for late in late_ms) if can_be_late else 0,
        late_tolerance_ms=late_tolerance_ms,
        worst_late_ms=max(late_ms, default=0.0),
        cpu_cores=cpu_cores,
    )


def share(part: int, whole: int) -> float:
    """0 to 1; of nothing, nothing."""
    return part / whole if whole else 0.0
