"""Live streams through a Whisper, whose transcripts are written by the test."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from asr_contract.errors import ModelFailed
from asr_serving.audio.container import PcmFormat
from asr_serving.audio.speech import Detector
from asr_serving.live.pieces import PieceReader
from asr_serving.live.updates import Final, Update
from asr_serving.live.whisper import WhisperStream, segment_rules
from asr_serving.whisper.parts import Part, PartCutter
from recordings import speech
from sounds import RATE, music, silence

FLOAT = PcmFormat("pcm_f32le", RATE, 1)
Words = list[tuple[int, ...]]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


class Transcriber:
    """Writes what a test says; a word is its letters, a token each."""

    def __init__(self, partial: Callable[[Part, tuple[int, ...]], str], waits: bool = False) -> None:
        self._partial = partial
        self.heard: list[tuple[float, str]] = []  # seconds of each transcript, and the words that it began with
        self.finals: list[Part] = []
        self.go_on = asyncio.Event()
        if not waits:
            self.go_on.set()

    async def partial(self, part: Part, prefix: tuple[int, ...]) -> Words:
        self.heard.append((len(part.samples) / RATE, self.text(prefix)))
        await self.go_on.wait()
        return [tuple(f" {word}".encode()) for word in self._partial(part, prefix).split()]

    async def final(self, part: Part) -> Final:
        self.finals.append(part)
        await self.go_on.wait()
        return Final(f"sentence {len(self.finals)}", part.start / RATE, part.end / RATE, 0.5, [])

    def text(self, tokens: tuple[int, ...]) -> str:
        return bytes(tokens).decode().lstrip()


def stream(
    detector: Detector, transcriber: Transcriber, interval_s: float = 0.5, silence_ms: float = 800.0
) -> WhisperStream:
    def new_cutter() -> PartCutter:
        return PartCutter(detector, RATE, 25.0, 0.0, segment_rules(silence_ms))

    return WhisperStream(PieceReader(FLOAT, RATE), new_cutter, transcriber, RATE, interval_s)  # type: ignore[arg-type]


async def play(live: WhisperStream, samples: np.ndarray, piece_s: float = 0.25) -> list[Update]:
    pieces = np.split(samples, range(int(piece_s * RATE), len(samples), int(piece_s * RATE)))
    updates = []
    for index, piece in enumerate(pieces):
        updates.append(await live.take(piece.tobytes(), index == len(pieces) - 1))
        await asyncio.sleep(0)  # what was begun goes on between two pieces
        await asyncio.sleep(0)
    return updates


def test_a_word_is_stable_when_two_transcripts_agree(detector: Detector) -> None:
    texts = iter(
        ["mister", "mister quill", "quilter is", "is the", "the apostle of", "apostle of the", "of the middle"]
    )
    transcriber = Transcriber(lambda *_: next(texts, "of the middle classes"))
    updates = asyncio.run(play(stream(detector, transcriber), np.concatenate((silence(0.5), speech()))))
    seen = list(dict.fromkeys((update.partial[: update.stable], update.partial) for update in updates))
    assert seen[:6] == [
        ("", ""),
        ("", "mister"),
        ("mister", "mister quill"),
        ("mister", "mister quilter is"),
        ("mister", "mister is the"),  # no agreement: only the last transcript counts for what is not stable
        ("mister", "mister the apostle of"),
    ]
    # Each transcript began with the words that were stable then.
    assert [prefix for _, prefix in transcriber.heard[:4]] == ["", "", "mister", "mister"]
    # What is stable stays, until the segment ends.
    stable = [update.partial[: update.stable] for update in updates if update.partial]
    assert all(later.startswith(earlier) for earlier, later in pairwise(stable))


def test_silence_ends_a_segment_and_the_last_piece_waits_for_its_text(detector: Detector) -> None:
    transcriber = Transcriber(lambda *_: "a b")
    samples = np.concatenate((silence(1), speech(), silence(2), speech()))
    updates = asyncio.run(play(stream(detector, transcriber), samples))
    finals = [(index, final) for index, update in enumerate(updates) for final in update.finals]
    assert [final.text for _, final in finals] == ["sentence 1", "sentence 2"]
    first, last = (index for index, _ in finals)
    assert first * 0.25 == pytest.approx(1 + len(speech()) / RATE + 0.8, abs=1.0)
    assert last == len(updates) - 1
    assert updates[-1].partial == ""
    assert updates[-1].seconds == pytest.approx(len(samples) / RATE)
    assert finals[0][1].end <= finals[1][1].start


def test_transcripts_come_no_more_often_than_the_interval(detector: Detector) -> None:
    transcriber = Transcriber(lambda *_: "a")
    asyncio.run(play(stream(detector, transcriber, interval_s=1.0), np.concatenate((silence(0.5), speech())), 0.1))
    lengths = [seconds for seconds, _ in transcriber.heard]
    assert len(lengths) >= 3
    assert min(np.diff(lengths)) >= 1.0
    assert lengths[0] >= 1.0


def test_pieces_do_not_wait_for_a_transcript_but_for_a_backlog(detector: Detector) -> None:
    async def check() -> None:
        transcriber = Transcriber(lambda *_: "a b", waits=True)
        live = stream(detector, transcriber)
        sentence = np.concatenate((speech(), silence(1.5)))
        await asyncio.wait_for(play(live, np.concatenate((silence(0.5), sentence, sentence))[: 12 * RATE], 0.5), 1)

    with pytest.raises(TimeoutError):  # the last piece waits for its texts
        asyncio.run(check())

    async def backlog() -> None:
        transcriber = Transcriber(lambda *_: "a b", waits=True)
        live = stream(detector, transcriber)
        sentence = np.concatenate((speech(), silence(1.5)))
        samples = np.concatenate([sentence] * 5)
        pieces = np.split(samples, range(RATE, len(samples), RATE))
        taken = 0
        for piece in pieces[:-1]:
            try:
                await asyncio.wait_for(live.take(piece.tobytes(), False), 0.5)
            except TimeoutError:
                break
            taken += 1
        assert 2 * len(sentence) < taken * RATE < 4.5 * len(sentence)

    asyncio.run(backlog())


def test_other_sounds_are_no_segments(detector: Detector) -> None:
    transcriber = Transcriber(lambda *_: "you")
    updates = asyncio.run(play(stream(detector, transcriber), np.concatenate((silence(3), music(8)))))
    assert not any(update.finals or update.partial or update.start for update in updates)
    assert transcriber.heard == []


def test_a_model_that_fails_is_the_error_of_a_piece(detector: Detector) -> None:
    def fail(*_: object) -> str:
        raise ModelFailed("out of memory")

    with pytest.raises(ModelFailed, match="out of memory"):
        asyncio.run(play(stream(detector, Transcriber(fail)), np.concatenate((silence(0.5), speech()))))
