"""A Whisper's live streams: segments that end now, with another silence, and where their speech begins."""

import asyncio

import numpy as np
import pytest
from asr_serving.audio.speech import Detector
from asr_serving.live.updates import Update
from asr_serving.live.whisper import WhisperStream
from recordings import speech
from sounds import RATE, silence

from tests.serving.live.test_whisper_live import Transcriber, play, stream

SENTENCE_S = len(speech()) / RATE


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


@pytest.fixture
def transcriber() -> Transcriber:
    return Transcriber(lambda *_: "a b")


async def take(live: WhisperStream, samples: np.ndarray, is_flush: bool) -> Update:
    return await live.take(samples.astype(np.float32).tobytes(), False, is_flush)


def flushed(live: WhisperStream, *parts: np.ndarray) -> list[Update]:
    """What is told of parts that each end with a flush, and of an empty last piece."""

    async def listen() -> list[Update]:
        return [*[await take(live, part, True) for part in parts], await live.take(b"", True)]

    return asyncio.run(listen())


def test_a_flush_waits_for_the_final_text_and_times_go_on(detector: Detector, transcriber: Transcriber) -> None:
    told = flushed(stream(detector, transcriber), speech(), speech())
    assert [[final.text for final in update.finals] for update in told] == [["sentence 1"], ["sentence 2"], []]
    (first,), (second,), _ = (update.finals for update in told)
    assert (second.start - first.start, second.end - first.end) == pytest.approx((SENTENCE_S, SENTENCE_S), abs=1e-3)
    assert [update.seconds for update in told] == pytest.approx([SENTENCE_S, 2 * SENTENCE_S, 2 * SENTENCE_S])
    np.testing.assert_array_equal(transcriber.finals[0].samples, transcriber.finals[1].samples)
    assert all((update.partial, update.start) == ("", None) for update in told)


@pytest.mark.parametrize("quiet_s", [0.0, 2.0])
def test_a_flush_before_which_nothing_was_said(detector: Detector, transcriber: Transcriber, quiet_s: float) -> None:
    told = flushed(stream(detector, transcriber), silence(quiet_s), silence(0), silence(0))
    assert [update.finals for update in told] == [[]] * 4
    assert told[-1].seconds == quiet_s


def test_partial_texts_go_on_after_a_flush(detector: Detector, transcriber: Transcriber) -> None:
    async def listen() -> tuple[list[Update], list[Update]]:
        live = stream(detector, transcriber)
        first = await take(live, speech(), True)
        return [first], await play(live, speech())

    (first,), later = asyncio.run(listen())
    assert len(first.finals) == 1
    assert next(update for update in later if update.partial).seconds < SENTENCE_S + 2.0
    (start,) = {update.start for update in later if update.partial}
    assert start == pytest.approx(SENTENCE_S + 0.1, abs=0.15)
    assert [final.text for update in later for final in update.finals] == ["sentence 2"]


def test_a_flush_while_a_transcript_is_made(detector: Detector) -> None:
    async def listen() -> Update:
        transcriber = Transcriber(lambda *_: "a b", waits=True)
        live = stream(detector, transcriber)
        await take(live, speech(), False)
        await asyncio.sleep(0)
        asking = asyncio.create_task(take(live, silence(0), True))
        await asyncio.sleep(0.05)
        assert not asking.done()
        transcriber.go_on.set()
        return await asking

    update = asyncio.run(listen())
    assert [final.text for final in update.finals] == ["sentence 1"]
    assert (update.partial, update.stable) == ("", 0)


def test_speech_begins_before_there_is_text(detector: Detector, transcriber: Transcriber) -> None:
    samples = np.concatenate((silence(1), speech(), silence(2)))
    told = asyncio.run(play(stream(detector, transcriber, interval_s=1.0), samples, 0.1))
    begun = [update for update in told if update.start is not None]
    assert begun[0].partial == ""
    assert begun[0].seconds < 1.8
    (final,) = [final for update in told for final in update.finals]
    assert {update.start for update in begun} == {final.start}


def test_a_click_is_no_beginning(detector: Detector, transcriber: Transcriber) -> None:
    click = speech()[int(0.6 * RATE) : int(0.66 * RATE)]
    told = asyncio.run(play(stream(detector, transcriber), np.concatenate((silence(1), click, silence(2))), 0.1))
    assert {update.start for update in told} == {None}
    assert {update.partial for update in told} == {""}


@pytest.mark.parametrize(("silence_ms", "segments"), [(200.0, 2), (400.0, 2), (800.0, 1)])
def test_the_silence_between_segments(
    detector: Detector, transcriber: Transcriber, silence_ms: float, segments: int
) -> None:
    spoken = speech()[: 2 * RATE]
    samples = np.concatenate((silence(0.5), spoken, silence(0.3), spoken, silence(0.2)))  # a pause of 0.55 s
    told = asyncio.run(play(stream(detector, transcriber, silence_ms=silence_ms), samples))
    finals = [final for update in told for final in update.finals]
    assert len(finals) == segments
    if segments == 2:
        assert 2.4 < finals[0].end < finals[1].start < 3.1
