"""The validity of a step: whether it is a result, or void.

A figure describes the server only if the real load was the stated one. A step is void when

- more than 1 % of its requests were sent later than the tolerance (10 ms) after their schedule,
- the generator was busy for more than 90 % of one processor core, so that it measures itself,
- the generator sent less than 98 % of the scheduled requests,
- it had fewer requests than a promised quantile needs: 20 for p95, 1,000 for p99.

Requests that were sent but not *answered* make no step void. The usual rule, "void below 98 % of the offered rate",
counts answers. So it cannot tell a generator that did not send from a server that did not answer. Here both are known:
the generator has measured nothing, and the server has broken its promise, which is a result (`slo`).
"""

from asr_loadtest.results import Generator, Slo
from asr_loadtest.steps.latency import P95_SAMPLES, P99_SAMPLES

LATE_TOLERANCE_MS = 10.0
MAX_LATE_SHARE = 0.01
MAX_CPU_CORES = 0.9
MIN_SENT_SHARE = 0.98


def needed_requests(slo: Slo) -> int:
    """Return the fewest requests of a step that the SLO's quantiles need."""
    if slo.p99_ms is not None:
        return P99_SAMPLES
    return P95_SAMPLES if slo.p95_ms is not None else 1


def void(generator: Generator, slo: Slo, unit: str = "requests") -> tuple[str, ...]:
    """Return the reasons, in words, why the step is void; none for a valid step. `unit` is what was sent."""
    reasons = []
    scheduled, sent, late = generator.scheduled, generator.sent, generator.late
    if scheduled < (needed := needed_requests(slo)):
        quantile = "p99" if slo.p99_ms is not None else "p95" if slo.p95_ms is not None else "any figure"
        reasons.append(
            f"{scheduled} {unit} are too few for {quantile}; needs {needed:,}: a longer --duration or a higher rate"
        )
    if sent < MIN_SENT_SHARE * scheduled:
        reasons.append(f"the generator sent {sent} of {scheduled} {unit}; needs {MIN_SENT_SHARE:.0%}")
    if late > MAX_LATE_SHARE * sent:
        reasons.append(
            f"{late} of {sent} {unit} were sent more than {generator.late_tolerance_ms:g} ms late "
            f"(up to {generator.worst_late_ms:.0f} ms); at most {MAX_LATE_SHARE:.0%} may be"
        )
    if generator.cpu_cores > MAX_CPU_CORES:
        reasons.append(
            f"the generator took {generator.cpu_cores:.2f} processor cores; at most {MAX_CPU_CORES:g} leave it punctual"
        )
    return tuple(reasons)
