"""When requests of an open loop are due: at times of their own, whether or not earlier ones were answered."""

import random
from collections.abc import Iterator

from asr_loadtest.results import Arrivals


def due_times(arrivals: Arrivals, rate: float, chance: random.Random) -> Iterator[float]:
    """Seconds from the start at which requests are due, without end.

    Several such processes together are one of the sum of their rates: exactly for "poisson"; for "constant" only on
    average, because each begins at a random point of its own period.

    Args:
        arrivals: "poisson" (independent callers: gaps are random) or "constant" (all gaps are 1 / rate).
        rate: requests per second, above 0.
        chance: the seeded source of all that is random here.
    """
    due_s = chance.expovariate(rate) if arrivals == "poisson" else chance.random() / rate
    while True:
        yield due_s
        due_s += chance.expovariate(rate) if arrivals == "poisson" else 1 / rate
