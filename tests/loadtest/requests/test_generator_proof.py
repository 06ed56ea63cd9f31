"""The generator against a server whose delays are known, in a process of its own: its figures are right."""

import asyncio
from collections.abc import Sequence

import pytest
from asr_client import AsyncClient, RetryPolicy, Transcription
from asr_loadtest.recordings import Recording
from asr_loadtest.requests.generator import Generator
from asr_loadtest.requests.runner import RequestRunner
from asr_loadtest.results import Arrivals, Slo, Step
from asr_loadtest.steps.settings import Settings
from fake_server import Behaviour, running

pytestmark = pytest.mark.alone

RECORDINGS = [Recording(f"{index}.wav", bytes([index]) * 1000, 2.0) for index in range(1, 6)]
# A machine that others use too delays by some milliseconds, which has to stay below 5 % of what is measured.
DELAY_S = 0.2
UNDISTURBED_MS = 20.0
ATTEMPTS = 3


def hold(
    behaviour: Behaviour,
    rate: float | None,
    seconds: float,
    *,
    callers: int | None = None,
    arrivals: Arrivals = "poisson",
    ramp_s: float = 0.5,
    slo: Slo = Slo(),  # noqa: B008 (frozen)
) -> Step:
    """Hold one step against a fake: an open loop, or so many callers.

    The step is repeated where other work on this machine disturbed it, which the generator knows from its own delays.
    """

    async def main(url: str) -> Step:
        async with AsyncClient(url, retry=RetryPolicy(max_attempts=1)) as client:

            async def send(recording: Recording) -> Transcription:
                return await client.transcribe(recording.audio)

            # Whether this machine is punctual is not what is tested here.
            settings = Settings(slo, arrivals, ramp_s, late_tolerance_ms=1000.0)
            runner = RequestRunner(Generator(send, RECORDINGS), RECORDINGS, None, None, settings)
            if callers is None:
                return await runner.open(rate, seconds, seed=7)
            return await runner.closed(callers, seconds, 7, rate)

    for _ in range(ATTEMPTS):
        with running(behaviour) as url:
            step = asyncio.run(main(url))
        if step.generator.worst_late_ms < UNDISTURBED_MS:
            break
    return step


def within(value: float | None, expected_ms: float) -> bool:
    """Return whether a latency is right to 5 %, and never shorter than the server really took."""
    return value is not None and 0.995 * expected_ms <= value <= 1.05 * expected_ms


def test_the_figures_of_a_constant_delay():
    step = hold(Behaviour(delay_s=1.5), 250, 4)
    quantiles = step.latency.p50_ms, step.latency.p95_ms, step.latency.p99_ms
    assert step.latency.count == step.requests == 1000
    assert all(within(value, 1500) for value in quantiles), quantiles


def test_the_figures_of_two_delays():
    """Nine requests in ten take 0.8 s, one takes 2.4 s."""
    step = hold(Behaviour(delay_s=0.8, slow_delay_s=2.4, slow_every=10), 60, 4, arrivals="constant")
    assert within(step.latency.p50_ms, 800), step.latency
    assert within(step.latency.p95_ms, 2400), step.latency
    assert within(step.latency.mean_ms, 960), step.latency


def test_an_open_loop_shows_a_stall():
    """50 requests/s meet it: those of two seconds, the first for all of it. What they wait is known for each."""
    # One request before the schedule and 25 of the ramp, then some that meet nothing.
    step = hold(Behaviour(delay_s=DELAY_S, stall_at_request=45, stall_s=2.0), 50, 5, arrivals="constant")
    waits_ms = sorted((1e3 * (DELAY_S + max(0.0, 2.0 - index / 50)) for index in range(250)), reverse=True)
    assert within(step.latency.max_ms, waits_ms[0]), step.latency
    assert within(step.latency.p95_ms, waits_ms[250 // 20]), step.latency


def test_a_closed_loop_hides_the_stall():
    """Two callers meet it once each, and then ask no more until it is over."""
    step = hold(Behaviour(delay_s=DELAY_S, stall_at_request=20, stall_s=2.0), None, 6.5, callers=2)
    assert step.latency.count > 40
    assert step.latency.max_ms > 1500
    assert step.latency.p95_ms < 1.5e3 * DELAY_S, step.latency


def test_a_closed_loop_at_a_rate_sends_less_than_it_should():
    """Asked for 20 requests/s, two callers at a delay of 0.2 s manage 10, and find nothing amiss."""
    step = hold(Behaviour(delay_s=DELAY_S), 20, 2, callers=2)
    assert step.offered_rate < 12
    assert within(step.latency.p50_ms, 1e3 * DELAY_S), step.latency


def test_a_queue_counts_from_the_scheduled_arrival():
    """10 requests/s at a server that takes one in 0.2 s: each waits 0.1 s longer than the one before."""
    step = hold(Behaviour(delay_s=DELAY_S, servers=1), 10, 3, arrivals="constant", ramp_s=0, slo=Slo(p95_ms=1e6))
    expected_ms: Sequence[float] = [1e3 * DELAY_S + 100 * index for index in range(30)]
    assert within(step.latency.p50_ms, expected_ms[14]), step.latency
    assert within(step.latency.max_ms, expected_ms[29]), step.latency
    assert step.achieved_rate == pytest.approx(5, rel=0.1)
    assert step.void == ()
    assert [reason.partition(":")[0] for reason in step.missed] == ["answers do not keep up"]


def test_refusals_are_errors_with_a_latency_of_their_own():
    step = hold(Behaviour(delay_s=DELAY_S, servers=1, queue_limit=2), 40, 2, slo=Slo(p95_ms=1000, error_rate=0.1))
    assert step.errors["QueueFull"] > 50
    assert step.rejected_latency.p50_ms < 1e3 * DELAY_S
    assert step.achieved_rate == pytest.approx(40, rel=0.15)
    assert any("error rate" in reason for reason in step.missed)
