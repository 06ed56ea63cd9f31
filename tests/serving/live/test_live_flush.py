"""A flush: the segment ends now, and the stream goes on as if it began there, with its own times."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from asr_serving.audio.container import PcmFormat
from asr_serving.audio.speech import Detector
from asr_serving.live.ctc import CtcStream
from asr_serving.live.pieces import PieceReader
from asr_serving.live.updates import Final, Update
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import speech as sentence

from tests.serving.ctc.test_greedy import LABELS
from tests.serving.live.test_live import FLOAT, MODELS, PACE, RATE

NOTHING = b""
Piece = tuple[bytes, bool]  # samples, and whether the segment ends with them


def loud(seconds: float, before_s: float = 0.0, after_s: float = 0.0) -> np.ndarray:
    """A sound between silences."""
    parts = [np.full(round(length * RATE), level) for length, level in ((before_s, 0), (seconds, 0.1), (after_s, 0))]
    return np.concatenate(parts).astype(np.float32)


def play(*pieces: Piece, pcm: PcmFormat = FLOAT, detector: Detector | None = None) -> list[Update]:
    """What is told of each piece, and of an empty last one."""

    async def listen() -> list[Update]:
        stream = CtcStream(pcm, LABELS, PACE, {}, MODELS, detector)
        told = [await stream.take(data, False, is_flush) for data, is_flush in pieces]
        return [*told, await stream.take(b"", True)]

    return asyncio.run(listen())


def times(final: Final) -> tuple[str, float, float, float, float]:
    return final.text, final.start, final.end, final.words[0]["start"], final.words[-1]["end"]


def test_a_flush_ends_the_segment_and_times_go_on() -> None:
    first, second = loud(1.03, 0.2), loud(0.77, 0.13, 0.1)
    told = play((first[:5000].tobytes(), False), (first[5000:].tobytes(), True), (second.tobytes(), False))
    assert [len(update.finals) for update in told] == [0, 1, 0, 1]
    assert (told[1].partial, told[1].start) == ("", None)
    assert [update.seconds for update in told] == pytest.approx([0.3125, 1.23, 2.23, 2.23])
    (whole,) = play((first.tobytes(), False))[-1].finals
    (other,) = play((second.tobytes(), False))[-1].finals
    assert told[1].finals == [whole]
    expected = tuple(value + 1.23 if isinstance(value, float) else value for value in times(other))
    assert times(told[3].finals[0]) == pytest.approx(expected)


@pytest.mark.parametrize("before", [[], [(NOTHING, True)], [(bytes(4 * RATE), True)]])
def test_a_flush_before_which_nothing_was_said(before: list[Piece]) -> None:
    told = play(*before, (NOTHING, True), (NOTHING, True))
    assert [update.finals for update in told] == [[]] * len(told)
    assert {update.partial for update in told} == {""}
    assert told[-1].seconds == sum(len(data) for data, _ in before) / 4 / RATE


def test_a_flush_at_the_end_is_not_told_twice() -> None:
    told = play((loud(1.0).tobytes(), False), (NOTHING, True), (NOTHING, True))
    assert [len(update.finals) for update in told] == [0, 1, 0, 0]


def test_a_flush_after_a_segment_that_ended_by_itself() -> None:
    told = play((loud(1.0, 0.0, 2.0).tobytes(), False), (NOTHING, True), (loud(1.0).tobytes(), True))
    assert [len(update.finals) for update in told] == [1, 0, 1, 0]
    told = play((loud(1.0, 0.0, 2.0).tobytes() + loud(0.5).tobytes(), True))
    assert [[final.text for final in update.finals] for update in told] == [["A", "A"], []]


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 9_000), st.booleans()), max_size=8),
    st.sampled_from([("pcm_s16le", 16_000, 1), ("pcm_s16le", 8_000, 2), ("pcm_f32le", 44_100, 1)]),
)
def test_no_sample_is_lost_or_heard_twice(cuts: list[tuple[int, bool]], layout: tuple[str, int, int]) -> None:
    """Pieces may end within a sample, and a resampler is always some samples behind."""
    pcm = PcmFormat(*layout)
    dtype = np.dtype("<i2" if layout[0] == "pcm_s16le" else "<f4")
    total = sum(size for size, _ in cuts)
    data = np.linspace(0, 1, total // dtype.itemsize + 1).astype(dtype).tobytes()[:total]
    reader, at, begin = PieceReader(pcm, RATE), 0, 0
    heard: list[np.ndarray] = []
    for size, is_end in [*cuts, (0, True)]:
        heard.append(reader.read(data[at : at + size], is_end))
        at += size
        if is_end:
            frames = at // (dtype.itemsize * pcm.channels)
            assert reader.place == round(frames * RATE / pcm.sampling_rate)
            assert sum(map(len, heard)) == pytest.approx(reader.place - begin, abs=1)
            heard, begin = [], reader.place


def test_a_flush_is_heard_to_the_end_at_another_rate() -> None:
    samples = np.repeat(loud(1.0, 0.0, 0.0), 3)
    told = play((samples.tobytes(), True), (samples.tobytes(), True), pcm=replace(FLOAT, sampling_rate=3 * RATE))
    (first,), (second,) = told[0].finals, told[1].finals
    assert (first.start, first.end, second.start, second.end) == pytest.approx((0, 1, 1, 2), abs=1e-3)
    assert [update.seconds for update in told] == [1, 2, 2]


def test_speech_begins_before_its_first_word() -> None:
    told = play(*((piece.tobytes(), False) for piece in np.split(loud(1.0, 2.0, 1.0), 40)))
    begun = [(update.seconds, update.start) for update in told if update.start is not None]
    assert {start for _, start in begun} == {1.5}
    assert begun[0][0] == pytest.approx(2.4, abs=0.35)
    assert [final.start for update in told for final in update.finals] == [1.5]


def test_with_the_voice_detector_as_well() -> None:
    samples = sentence()
    told = play((samples.tobytes(), True), (samples.tobytes(), True), detector=Detector.load())
    (first,), (second,) = told[0].finals, told[1].finals
    seconds = len(samples) / RATE
    assert times(second) == pytest.approx(
        tuple(value + seconds if isinstance(value, float) else value for value in times(first)), abs=2e-3
    )


def test_the_voice_detector_knows_of_speech_before_a_word_is_known() -> None:
    """Of a model that hears nothing in windows."""
    samples = np.concatenate((np.zeros(RATE, np.float32), sentence()))

    async def deaf(window: np.ndarray) -> np.ndarray:
        log_probs = np.full((max(1, len(window) // LABELS.stride_samples), len(LABELS.labels)), -9.0, np.float32)
        log_probs[:, LABELS.blank] = 0
        return log_probs

    async def listen(detector: Detector | None) -> list[Update]:
        stream = CtcStream(FLOAT, LABELS, PACE, {}, replace(MODELS, acoustic=deaf), detector)
        return [await stream.take(piece.tobytes(), False) for piece in np.split(samples[: 4 * RATE], 40)]

    begun = [update for update in asyncio.run(listen(Detector.load())) if update.start is not None]
    assert {update.partial for update in begun} == {""}
    assert begun[0].start == pytest.approx(0.7, abs=0.2)
    assert begun[0].seconds == pytest.approx(1.8, abs=0.4)
    assert not any(update.start for update in asyncio.run(listen(None)))
