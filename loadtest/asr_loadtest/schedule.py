"""The loads that a load test holds, one after the other."""

from dataclasses import dataclass

from asr_loadtest.capacity import RESERVE, TOLERANCE
from asr_loadtest.results import Kind


@dataclass(frozen=True)
class Schedule:
    """The loads, and how long each is held."""

    kind: Kind
    rates: tuple[float, ...] = ()  # requests/s, or live streams; one of a soak, none of a search
    duration_s: float = 20.0  # measured time of a step
    callers: int | None = None  # of a closed loop beside each rate; without rates, of the only step
    max_rate: float = 1_000.0  # of a search
    tolerance: float = TOLERANCE  # of a search
    reserve: float = RESERVE  # of a search
    seed: int = 0
    of_streams: bool = False  # loads are numbers of live streams
