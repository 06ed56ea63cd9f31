"""The figures of latencies: quantiles by nearest rank, where there are enough samples for them."""

from collections.abc import Sequence

from asr_loadtest.results import Latency

# The fewest samples for a quantile: one sample in twenty lies beyond p95, ten in a thousand lie beyond p99.
P95_SAMPLES = 20
P99_SAMPLES = 1_000


def summary(latencies_ms: Sequence[float]) -> Latency:
    """Return the figures of any number of latencies, in milliseconds."""
    if not latencies_ms:
        return Latency(0, None, None, None, None, None)
    ascending = sorted(latencies_ms)
    number = len(ascending)
    return Latency(
        count=number,
        mean_ms=sum(ascending) / number,
        p50_ms=_quantile(ascending, 50),
        p95_ms=_quantile(ascending, 95) if number >= P95_SAMPLES else None,
        p99_ms=_quantile(ascending, 99) if number >= P99_SAMPLES else None,
        max_ms=ascending[-1],
    )


def _quantile(ascending: Sequence[float], percent: int) -> float:
    """Return the smallest value that `percent` of the values do not exceed: a latency that some request really had."""
    rank = -(-len(ascending) * percent // 100)
    return ascending[max(rank, 1) - 1]
