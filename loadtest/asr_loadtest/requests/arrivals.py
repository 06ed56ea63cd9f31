"""The times at which requests arrive. A seed fixes them before the clock starts.

Arrivals do not depend on whether the server is ready, because callers of a service do not know of each other. This
makes the loop open (Schroeder, Wierman and Harchol-Balter 2006, "Open versus closed: a cautionary tale").
"""

from asr_loadtest.results import Arrivals


def arrivals(kind: Arrivals, rate: float, seconds: float, seed: int) -> list[float]:
    """Return `round(rate * seconds)` times of arrival, at least one: ascending, in seconds from 0 to `seconds`.

    "poisson" is a Poisson process whose number of arrivals is given: arrivals bunch as in such a process, and offer
    exactly the rate. With a free number, 200 arrivals would miss their rate by 7 %, and so would every comparison of
    two steps. The same seed gives the same pattern at every rate, drawn out or compressed.
    """
    if not seconds:
        return []
    number = max(1, round(rate * seconds))
    if kind == "constant":
        return [(index + 0.5) * seconds / number for index in range(number)]
    import numpy as np

    gaps = np.random.default_rng(seed).exponential(size=number + 1)
    edges = np.cumsum(gaps)
    return [float(edge * seconds / edges[-1]) for edge in edges[:-1]]
