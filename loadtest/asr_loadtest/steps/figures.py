"""Figures that steps of requests and of live streams have in common."""

from collections.abc import Sequence

from asr_loadtest.results import Generator

WINDOWS = 3  # of a step; a soak has one for each minute
_SOAK_WINDOW_S = 60.0
_SOAK_S = 300.0  # a measurement of this length or more is a soak, which has to show whether figures drift
# The client's error for a request that the server refuses, because it has too many.
REJECTED = "QueueFull"


def window_edges(begin_s: float, end_s: float) -> list[tuple[float, float]]:
    """Return begin and end of each part of a measurement, in seconds."""
    measured_s = end_s - begin_s
    number = WINDOWS if measured_s < _SOAK_S else round(measured_s / _SOAK_WINDOW_S)
    width_s = measured_s / number
    return [(begin_s + index * width_s, begin_s + (index + 1) * width_s) for index in range(number)]


def generator_of(
    late_ms: Sequence[float], scheduled: int, cpu_cores: float, late_tolerance_ms: float, *, can_be_late: bool = True
) -> Generator:
    """Return what the generator did.

    Args:
        late_ms: how long after its scheduled time each request or piece was sent.
        scheduled: how many were to be sent.
        cpu_cores: processor seconds per second of the generator.
        late_tolerance_ms: a request or piece that is sent later than this counts as late.
        can_be_late: requests have a scheduled time; False: they are sent when the answer before has come.
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
    """Return part / whole; 0 where the whole is 0."""
    return part / whole if whole else 0.0
