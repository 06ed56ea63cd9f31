"""The generator against a server whose delays are known: its figures are right, and so is what it sends when.

Time is virtual, so that the values are exact. The last test has a real server, and asserts only what holds on a machine
that is busy with other things.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from asr_client import AsyncClient, RetryPolicy, Transcription
from asr_loadtest.recordings import Recording
from asr_loadtest.requests.generator import Generator
from asr_loadtest.requests.runner import RequestRunner
from asr_loadtest.results import Arrivals, Slo, Step
from asr_loadtest.steps.settings import Settings
from fake_server import running
from known_delays import Behaviour, InProcess, on_virtual_time

RECORDINGS = [Recording(f"{index}.wav", bytes([index]) * 1000, 2.0) for index in range(1, 6)]
DELAY_S = 0.2


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
    """Hold one step: an open loop, or so many callers."""

    async def main() -> Step:
        runner = runner_of(InProcess(behaviour).send, Settings(slo, arrivals, ramp_s))
        if callers is None:
            return await runner.open(rate, seconds, seed=7)
        return await runner.closed(callers, seconds, 7, rate)

    return on_virtual_time(main())


def runner_of(send: Callable[[Recording], Awaitable[Transcription]], settings: Settings) -> RequestRunner:
    return RequestRunner(Generator(send, RECORDINGS), RECORDINGS, None, None, settings)


def ms(expected_ms: float) -> object:
    """Return what equals a latency to the microsecond."""
    return pytest.approx(expected_ms, abs=1e-3)


def test_the_figures_of_a_constant_delay():
    step = hold(Behaviour(delay_s=1.5), 250, 4)
    assert step.latency.count == step.requests == 1000
    assert [step.latency.p50_ms, step.latency.p95_ms, step.latency.p99_ms] == [ms(1500)] * 3


def test_the_figures_of_two_delays():
    """Nine requests in ten take 0.8 s, one takes 2.4 s."""
    latency = hold(Behaviour(delay_s=0.8, slow_delay_s=2.4, slow_every=10), 60, 4, arrivals="constant").latency
    assert [latency.p50_ms, latency.p95_ms, latency.mean_ms] == [ms(800), ms(2400), ms(960)]


def test_an_open_loop_shows_a_stall():
    """50 requests/s meet it: those of two seconds, the first for all of it. What they wait is known for each."""
    # One request before the schedule and 25 of the ramp, then 18 that meet nothing.
    step = hold(Behaviour(delay_s=DELAY_S, stall_at_request=45, stall_s=2.0), 50, 5, arrivals="constant")
    waits_ms = sorted((1e3 * (DELAY_S + max(0.0, 2.0 - index / 50)) for index in range(250 - 18)), reverse=True)
    assert step.latency.max_ms == ms(waits_ms[0])
    assert step.latency.p95_ms == ms(waits_ms[250 // 20])


def test_a_closed_loop_hides_the_stall():
    """Two callers meet it once each, and then ask no more until it is over."""
    step = hold(Behaviour(delay_s=DELAY_S, stall_at_request=20, stall_s=2.0), None, 6.5, callers=2)
    # Either has 5 s without the stall, 0.5 s of them in the ramp; what the ramp began counts for the ramp.
    assert step.latency.count == pytest.approx(2 * (5 - 0.5) / DELAY_S, abs=2)
    assert step.latency.max_ms == ms(1e3 * (2.0 + DELAY_S))
    assert step.latency.p95_ms == ms(1e3 * DELAY_S)


def test_a_closed_loop_at_a_rate_sends_less_than_it_should():
    """Asked for 20 requests/s, two callers at a delay of 0.2 s manage 10, and find nothing amiss."""
    step = hold(Behaviour(delay_s=DELAY_S), 20, 2, callers=2)
    assert step.offered_rate == pytest.approx(10, abs=1)
    assert step.latency.p50_ms == ms(1e3 * DELAY_S)


def test_a_queue_counts_from_the_scheduled_arrival():
    """10 requests/s at a server that takes one in 0.2 s: each waits 0.1 s longer than the one before."""
    step = hold(Behaviour(delay_s=DELAY_S, servers=1), 10, 3, arrivals="constant", ramp_s=0, slo=Slo(p95_ms=1e6))
    expected_ms: Sequence[float] = [1e3 * DELAY_S + 100 * index for index in range(30)]
    assert step.latency.p50_ms == ms(expected_ms[14])
    assert step.latency.max_ms == ms(expected_ms[29])
    assert step.achieved_rate == pytest.approx(5, rel=0.1)
    assert step.void == ()
    assert [reason.partition(":")[0] for reason in step.missed] == ["answers do not keep up"]


def test_refusals_are_errors_with_a_latency_of_their_own():
    step = hold(Behaviour(delay_s=DELAY_S, servers=1, queue_limit=2), 40, 2, slo=Slo(p95_ms=1000, error_rate=0.1))
    assert step.errors["QueueFull"] > 50
    assert step.rejected_latency.max_ms == ms(0)
    assert step.achieved_rate == pytest.approx(40, rel=0.15)
    assert any("error rate" in reason for reason in step.missed)


def test_a_real_server_is_never_faster_than_it_was():
    async def main(url: str) -> Step:
        async with AsyncClient(url, retry=RetryPolicy(max_attempts=1)) as client:
            settings = Settings(Slo(), "constant", 0.2, late_tolerance_ms=1e6)
            return await runner_of(lambda recording: client.transcribe(recording.audio), settings).open(50, 1, seed=7)

    with running(Behaviour(delay_s=DELAY_S)) as url:
        step = asyncio.run(main(url))
    assert step.latency.count == step.requests == 50
    assert 1e3 * DELAY_S <= step.latency.p50_ms <= step.latency.max_ms
    assert not step.errors
