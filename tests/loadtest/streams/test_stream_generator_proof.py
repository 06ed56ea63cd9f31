"""The live streams against a server whose delays are known, in a process of its own: their figures are right."""

import asyncio
import io
import math
import wave

import numpy as np
import pytest
from asr_client import AsyncClient, RetryPolicy
from asr_loadtest.recordings import Recording
from asr_loadtest.results import Slo, Step
from asr_loadtest.steps.settings import Settings
from asr_loadtest.streams.generator import StreamGenerator
from asr_loadtest.streams.playback import PIECE_S, Pace, scripts
from asr_loadtest.streams.runner import StreamRunner
from fake_server import AFTER_S, CHUNK_S, ENDPOINT_S, STREAM_RATE, Behaviour, running

pytestmark = pytest.mark.alone

PACE = Pace(CHUNK_S, AFTER_S, ENDPOINT_S)
# A machine that others use too delays by some milliseconds, which has to stay below 5 % of what is measured.
DELAY_S = 0.05
UNDISTURBED_MS = 15.0
ATTEMPTS = 3


def recording(seconds: float, value: int) -> Recording:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, STREAM_RATE, 0, "NONE", ""))
        writer.writeframes(np.full(round(seconds * STREAM_RATE), value, "<i2").tobytes())
    return Recording(f"{value}.wav", file.getvalue(), seconds)


RECORDINGS = [recording(1.5, 1), recording(2.5, 2)]


def hold(behaviour: Behaviour, streams: int, seconds: float, slo: Slo = Slo()) -> Step:  # noqa: B008 (frozen)
    """Hold one step against a fake; repeat it where other work on this machine disturbed it."""

    async def main(url: str) -> Step:
        async with AsyncClient(url, retry=RetryPolicy(max_attempts=1)) as client:

            def stream(chunks, script):
                return client.stream(chunks, sampling_rate=script.sampling_rate, channels=script.channels)

            spoken = [script for _, script in scripts(RECORDINGS, PACE)]
            settings = Settings(slo, ramp_s=0.5, late_tolerance_ms=1000.0)
            runner = StreamRunner(StreamGenerator(stream, spoken, PACE), RECORDINGS, None, None, settings)
            return await runner.hold(streams, seconds, seed=7)

    for _ in range(ATTEMPTS):
        with running(behaviour) as url:
            step = asyncio.run(main(url))
        if step.generator.worst_late_ms < UNDISTURBED_MS:
            break
    return step


def lags_s(seconds: float) -> list[float]:
    """Return the lags of the partial results of a stream, with a server that answers at once."""
    dues = np.arange(1, round(seconds / PIECE_S) + 1) * PIECE_S
    chunks = [math.floor((due - AFTER_S + 1e-6) / CHUNK_S) for due in dues]
    return [
        due - (count - 1) * CHUNK_S
        for due, count, before in zip(dues, chunks, [0, *chunks], strict=False)
        if count > max(0, before)
    ]


def test_a_constant_delay_is_what_the_lags_have():
    step = hold(Behaviour(delay_s=DELAY_S), streams=4, seconds=4.0)
    expected_ms = [1e3 * (lag + DELAY_S) for lag in lags_s(4.0)]
    assert min(expected_ms) * 0.99 <= step.latency.p50_ms <= max(expected_ms) * 1.05
    assert step.latency.mean_ms == pytest.approx(np.mean(expected_ms), rel=0.05)
    assert step.latency.max_ms == pytest.approx(max(expected_ms), rel=0.1)
    assert DELAY_S <= step.streams.answer.p50_ms / 1e3 <= 1.3 * DELAY_S
    assert step.streams.late_pieces == 0
    assert step.audio_rate == pytest.approx(4, rel=0.05)
    assert not step.void
    assert not step.errors


def test_a_stall_is_in_the_lags_and_makes_pieces_late():
    step = hold(Behaviour(delay_s=0.005, stall_at_request=16, stall_s=1.5), streams=2, seconds=6.0)
    assert 1.3e3 <= step.latency.max_ms <= 2.4e3
    assert step.latency.p50_ms < 700
    # Of either stream, which are in their first seconds, the pieces of a second and a half waited.
    assert 20 <= step.streams.late_pieces <= 34
    assert not step.void  # the server's doing


def test_streams_that_are_refused_are_errors_and_the_others_go_on():
    step = hold(Behaviour(streams=2), streams=3, seconds=4.0, slo=Slo(error_rate=0.001))
    assert set(step.errors) == {"QueueFull"}
    assert step.audio_rate == pytest.approx(2, rel=0.15)
    assert any("error rate" in reason for reason in step.missed)
