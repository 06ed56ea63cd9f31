"""When a step is no result.

A figure says something about the server only where the load was the one that is written beside it. A step is void when

- more than 1 % of its requests were sent later than the tolerance (10 ms) after their schedule,
- the generator was busy for more than 90 % of one processor core: then it measures itself,
- less than 98 % of the schedule was sent,
- it had fewer requests than a quantile that was promised needs: 20 for p95, 1,000 for p99.

What was sent but not *answered* does not make it void. The usual rule, "void below 98 % of the offered rate", counts
answers, and so cannot tell a generator that did not send from a server that did not answer. Here both are known: the
first one has measured nothing, the second one has broken its promise, which is a result (`slo`).
"""

from asr_loadtest.results import Generator, Slo
from asr_loadtest.steps.latency import P95_SAMPLES, P99_SAMPLES

LATE_TOLERANCE_MS = 10.0
MAX_LATE_SHARE = 0.01
MAX_CPU_CORES = 0.9
MIN_SENT_SHARE = 0.98


def needed_requests(slo: Slo) -> int:
    """The fewest requests of a step for which the SLO's quantiles can be given."""
    if slo.p99_ms is not None:
        return P99_SAMPLES
    return P95_SAMPLES if slo.p95_ms is not None else 1


def void(generator: Generator, slo: Slo, unit: str = "requests") -> tuple[str, ...]:
    """Why the step is no result, in words; empty when it is one. `unit` is what was sent."""
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
            f"the generator took {generator.cpu_cores:.2f} processor cores; {MAX_CPU_CORES:g} or less leave it punctual"
        )
    return tuple(reasons)
