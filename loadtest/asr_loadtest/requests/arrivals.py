"""When requests arrive: fixed by a seed before the clock starts.

Arrivals do not ask whether the server is ready for them. That is what makes the loop open (Schroeder, Wierman and
Harchol-Balter 2006, "Open versus closed: a cautionary tale"): callers of a service do not know of each other.
"""

from asr_loadtest.results import Arrivals


def arrivals(kind: Arrivals, rate: float, seconds: float, seed: int) -> list[float]:
    """Times of arrival, in seconds from 0 to `seconds`, ascending; `round(rate * seconds)` of them, but one at least.

    "poisson" is a Poisson process of which the number of arrivals is given: it bunches as such a process does, and
    offers exactly the rate. Without that, 200 arrivals would miss their rate by 7 %, and so would every comparison of
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
