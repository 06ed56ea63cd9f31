"""Steps for tests that need a few of their figures."""

from dataclasses import replace
from typing import Any

from asr_loadtest.results import Generator, Latency, Load, Step, Window

NO_LATENCY = Latency(0, None, None, None, None, None)
PUNCTUAL = Generator(scheduled=400, sent=400, late=0, late_tolerance_ms=10.0, worst_late_ms=1.0, cpu_cores=0.1)


def latency(p50_ms: float, p95_ms: float, count: int = 400) -> Latency:
    return Latency(count, p50_ms, p50_ms, p95_ms, None, p95_ms)


def window(p50_ms: float = 10.0, p95_ms: float = 20.0, answered_rate: float = 20.0) -> Window:
    return Window(0.0, 1.0, latency(p50_ms, p95_ms), answered_rate)


def step(rate: float = 20.0, **fields: Any) -> Step:
    """A step without faults, but for `fields`."""
    ideal = Step(
        load=Load("open", rate, None, "poisson", 0, 5.0, 20.0),
        offered_rate=rate,
        achieved_rate=rate,
        answered_rate=rate,
        audio_rate=10 * rate,
        latency=latency(10.0, 20.0),
        by_class={},
        windows=(window(answered_rate=rate),) * 3,
        errors={},
        error_example=None,
        rejected_latency=NO_LATENCY,
        requests=400,
        checked=400,
        changed=0,
        wer=None,
        solo_wer=None,
        members=(),
        resources=(),
        generator=PUNCTUAL,
        void=(),
        missed=(),
    )
    return replace(ideal, **fields)
