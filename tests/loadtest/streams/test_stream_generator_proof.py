"""The live streams against a server whose delays are known: their figures are right.

Time is virtual, so that the values are exact. The last test has a real server, and asserts only what holds on a machine
that is busy with other things.
"""

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
from asr_loadtest.streams.generator import Stream, StreamGenerator
from asr_loadtest.streams.playback import PIECE_S, Pace, scripts
from asr_loadtest.streams.runner import StreamRunner
from fake_server import running
from known_delays import AFTER_S, CHUNK_S, ENDPOINT_S, STREAM_RATE, Behaviour, InProcess, on_virtual_time

PACE = Pace(CHUNK_S, AFTER_S, ENDPOINT_S)
DELAY_S = 0.05


def recording(seconds: float, value: int) -> Recording:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, STREAM_RATE, 0, "NONE", ""))
        writer.writeframes(np.full(round(seconds * STREAM_RATE), value, "<i2").tobytes())
    return Recording(f"{value}.wav", file.getvalue(), seconds)


RECORDINGS = [recording(1.5, 1), recording(2.5, 2)]


def hold(behaviour: Behaviour, streams: int, seconds: float, slo: Slo = Slo()) -> Step:  # noqa: B008 (frozen)
    """Hold one step."""

    async def main() -> Step:
        return await runner_of(InProcess(behaviour).stream, Settings(slo, ramp_s=0.5)).hold(streams, seconds, seed=7)

    return on_virtual_time(main())


def runner_of(stream: Stream, settings: Settings) -> StreamRunner:
    spoken = [script for _, script in scripts(RECORDINGS, PACE)]
    return StreamRunner(StreamGenerator(stream, spoken, PACE), RECORDINGS, None, None, settings)


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
    assert step.latency.mean_ms == pytest.approx(np.mean(expected_ms), rel=0.05)
    assert step.latency.max_ms == pytest.approx(max(expected_ms), abs=1e-3)
    answer = step.streams.answer
    assert [answer.p50_ms, answer.max_ms] == pytest.approx([1e3 * DELAY_S] * 2)
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


def test_a_real_server_is_never_faster_than_it_was():
    async def main(url: str) -> Step:
        async with AsyncClient(url, retry=RetryPolicy(max_attempts=1)) as client:

            def stream(chunks, script):
                return client.stream(chunks, sampling_rate=script.sampling_rate, channels=script.channels)

            settings = Settings(Slo(), ramp_s=0.5, late_tolerance_ms=1e6)
            return await runner_of(stream, settings).hold(2, 4.0, seed=7)

    with running(Behaviour(delay_s=DELAY_S)) as url:
        step = asyncio.run(main(url))
    assert not step.errors
    assert step.streams.answer.p50_ms >= 1e3 * DELAY_S
    assert step.latency.p50_ms >= 1e3 * (min(lags_s(4.0)) + DELAY_S)
