"""The promises of the service (its SLO): whether a step kept them, and would go on keeping them.

A queue that grows keeps any promise for a while. So, where something is promised, a step must also be stable:

- Latency does not rise out of the promise. The promise counts as broken when both p50 and p95 rise from each window to
  the next (a step has three windows, a soak one a minute), and p95 would pass its limit if it rose for as long again.
  Two quantiles are needed, because a single one rises twice by chance in a sixth of all steps.
- Answers keep up. From the start of the measurement to its end, the requests under way may grow by 2 % of the offered
  requests, and by what chance explains: three standard deviations of a difference of two Poisson numbers, whose mean is
  the mean number under way.
"""

import itertools
import math

from asr_loadtest.results import Latency, Slo, Window
from asr_loadtest.steps.latency import P95_SAMPLES, P99_SAMPLES

MAX_BACKLOG_SHARE = 0.02
_STANDARD_DEVIATIONS = 3.0
# The samples that each quantile needs, by its name in Slo and Latency.
_SAMPLES = {"p95_ms": P95_SAMPLES, "p99_ms": P99_SAMPLES}


def missed(slo: Slo, latency: Latency, error_rate: float, changed_rate: float) -> tuple[str, ...]:
    """Return the promises that were not kept, in words; rates are 0 to 1."""
    reasons = []
    for name, samples in _SAMPLES.items():
        limit, value = getattr(slo, name), getattr(latency, name)
        if limit is None:
            continue
        quantile = name.removesuffix("_ms")
        if value is None:
            reasons.append(f"{quantile} unknown: {latency.count} requests succeeded; needs {samples:,}")
        elif value > limit:
            reasons.append(f"{quantile} {value:.0f} ms > {limit:g} ms")
    if slo.error_rate is not None and error_rate > slo.error_rate:
        reasons.append(f"error rate {error_rate:.2%} > {slo.error_rate:.2%}")
    if slo.changed_rate is not None and changed_rate > slo.changed_rate:
        reasons.append(f"changed transcripts {changed_rate:.2%} > {slo.changed_rate:.2%}")
    return tuple(reasons)


def unstable(
    slo: Slo, windows: tuple[Window, ...], offered: int, under_way: tuple[int, int], mean_under_way: float
) -> tuple[str, ...]:
    """Return the reasons, in words, why the step would not go on keeping its promises; none without a promise.

    Args:
        slo: the promises.
        windows: the parts of the measurement, in order.
        offered: requests that were scheduled.
        under_way: requests without an answer, at the start of the measurement and at its end.
        mean_under_way: mean number of requests without an answer, over the whole measurement.
    """
    if slo.is_empty:
        return ()
    reasons = []
    if slo.p95_ms is not None and (trend := _trend(windows)) is not None:
        first, last = trend
        # From the middle of the first of n windows to that of the last, n - 1 windows pass. The same time again as the
        # measurement is n windows.
        if last + len(windows) / (len(windows) - 1) * (last - first) > slo.p95_ms:
            reasons.append(
                f"p95 rises from {first:.0f} to {last:.0f} ms; after as long again it is beyond {slo.p95_ms:g} ms"
            )
    growth = under_way[1] - under_way[0]
    if growth > MAX_BACKLOG_SHARE * offered + _STANDARD_DEVIATIONS * math.sqrt(2 * mean_under_way):
        reasons.append(f"answers do not keep up: the requests under way grew from {under_way[0]} to {under_way[1]}")
    return tuple(reasons)


def _trend(windows: tuple[Window, ...]) -> tuple[float, float] | None:
    """Return p95 of the first and the last window; None unless p50 and p95 rise from each window to the next."""
    p50 = [window.latency.p50_ms for window in windows]
    p95 = [window.latency.p95_ms for window in windows]
    return (p95[0], p95[-1]) if _rises(p50) and _rises(p95) else None  # type: ignore[return-value]


def _rises(values: list[float | None]) -> bool:
    known = [value for value in values if value is not None]
    return len(known) == len(values) and all(a < b for a, b in itertools.pairwise(known))
