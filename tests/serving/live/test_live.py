"""Live streams, with models that are handed in."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest
from asr_contract.errors import AudioError, QueueFull, SequenceError
from asr_serving.audio.container import PcmFormat
from asr_serving.ctc.heard import Heard
from asr_serving.live.ctc import CtcStream, Models
from asr_serving.live.listening import Pace
from asr_serving.live.streams import IDLE_S, IDLE_WHEN_FULL_S, Streams
from asr_serving.live.updates import Update

from tests.serving.ctc.test_greedy import LABELS

RATE, STRIDE = 16_000, 320
PACE = Pace(before=2.0, chunk=0.32, after=0.16, endpoint=0.8, longest=10.0, context=3.5)
FLOAT = PcmFormat("pcm_f32le", RATE, 1)


async def acoustic(samples: np.ndarray) -> np.ndarray:
    """Hears an A where it is loud."""
    frames = max(1, (len(samples) - 400) // STRIDE + 1)
    loud = np.array([np.abs(samples[i * STRIDE :][:STRIDE]).max(initial=0) > 0.01 for i in range(frames)])
    log_probs = np.full((frames, len(LABELS.labels)), -10.0, dtype=np.float32)
    log_probs[np.arange(frames), np.where(loud, 2, LABELS.blank)] = 0
    return log_probs


async def decode(log_probs: np.ndarray, parameters: Mapping[str, object]) -> Heard:
    heard = np.flatnonzero(log_probs.argmax(axis=1) == 2) * STRIDE / RATE
    word = {"word": "A", "start": float(heard[0]), "end": float(heard[-1]), "confidence": 0.5}
    return Heard(f"A {parameters.get('hotwords', '')}".strip(), 0.5, [word])


MODELS = Models(acoustic, decode)


def speech() -> np.ndarray:
    """Loud from 1 to 2 s, and from 4 to 5 s."""
    samples = np.zeros(7 * RATE, dtype=np.float32)
    samples[RATE : 2 * RATE] = samples[4 * RATE : 5 * RATE] = 0.1
    return samples


def updates(data: bytes, piece_bytes: int, pcm: PcmFormat = FLOAT, **options: object) -> list[Update]:
    async def play() -> list[Update]:
        stream = CtcStream(pcm, LABELS, PACE, options, MODELS)
        pieces = [data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)]
        return [await stream.take(piece, index == len(pieces) - 1) for index, piece in enumerate(pieces)]

    return asyncio.run(play())


def test_segments_are_in_the_time_of_the_stream() -> None:
    finals = [final for update in updates(speech().tobytes(), 6400) for final in update.finals]
    assert [(final.text, final.confidence) for final in finals] == [("A", 0.5)] * 2
    assert [final.start for final in finals] == pytest.approx([0.5, 3.5], abs=0.05)
    assert [final.words[0]["start"] for final in finals] == pytest.approx([1, 4], abs=0.05)
    assert [final.words[0]["end"] for final in finals] == pytest.approx([2, 5], abs=0.05)


@pytest.mark.parametrize("piece_bytes", [1001, 6399, 400_000])
def test_a_piece_may_end_within_a_sample(piece_bytes: int) -> None:
    expected = [final for update in updates(speech().tobytes(), 6400) for final in update.finals]
    found = updates(speech().tobytes(), piece_bytes)
    assert [final for update in found for final in update.finals] == expected
    assert found[-1].seconds == 7


def test_two_channels_of_16_bits_at_another_rate() -> None:
    samples = np.repeat(np.stack([speech()] * 2, axis=1) * 32767, 2, axis=0).astype("<i2")
    heard = updates(samples.tobytes(), 25_600, PcmFormat("pcm_s16le", 2 * RATE, 2))
    finals = [final for update in heard for final in update.finals]
    assert [final.words[0]["start"] for final in finals] == pytest.approx([1, 4], abs=0.1)
    assert heard[-1].seconds == pytest.approx(7, abs=0.05)


def test_options_reach_the_decode_step() -> None:
    heard = updates(speech().tobytes(), 64_000, hotwords="B")
    assert [final.text for update in heard for final in update.finals] == ["A B"] * 2


def test_what_a_stream_must_not_hold() -> None:
    with pytest.raises(AudioError, match="holds NaN"):
        updates(np.full(RATE, np.nan, np.float32).tobytes(), 6400)
    with pytest.raises(AudioError, match=r"this piece holds 10\.5 s; needs 10 s or less"):
        updates(np.zeros(int(10.5 * RATE), np.float32).tobytes(), 10**6)


def test_streams_that_nobody_goes_on_with_make_room() -> None:
    now = [0.0]
    streams = Streams(2, clock=lambda: now[0])

    def new() -> CtcStream:
        return CtcStream(FLOAT, LABELS, PACE, {}, MODELS)

    streams.begin(1, new())
    now[0] = IDLE_WHEN_FULL_S - 1
    streams.begin(2, new())
    with pytest.raises(QueueFull, match="2 live streams are under way"):
        streams.begin(3, new())
    streams.begin(2, new())  # begun anew
    now[0] = IDLE_WHEN_FULL_S + 1
    streams.begin(3, new())
    with pytest.raises(SequenceError, match="not begun here, or not continued"):
        streams.get(1)
    streams.end(3)
    now[0] += IDLE_S
    streams.begin(4, new())
    assert len(streams) == 1
