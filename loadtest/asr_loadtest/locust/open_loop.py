"""The times at which requests of an open loop are due, whether or not earlier ones were answered."""

import random
from collections.abc import Iterator

from asr_loadtest.results import Arrivals


def due_times(arrivals: Arrivals, rate: float, chance: random.Random) -> Iterator[float]:
    """Yield the times at which requests are due, in seconds from the start, without end.

    Several such processes together are one process, whose rate is the sum of theirs. This is exact for "poisson". For
    "constant" it holds on average, because each process begins at a random point of its own period.

    Args:
        arrivals: "poisson" (independent callers: gaps are random) or "constant" (all gaps are 1 / rate).
        rate: requests per second, above 0.
        chance: a seeded random generator.
    """
    due_s = chance.expovariate(rate) if arrivals == "poisson" else chance.random() / rate
    while True:
        yield due_s
        due_s += chance.expovariate(rate) if arrivals == "poisson" else 1 / rate
