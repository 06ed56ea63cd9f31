"""Live streams with the voice detector: it decides what is quiet, in place of the level."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest
from asr_serving.audio.container import PcmFormat
from asr_serving.audio.speech import Detector
from asr_serving.ctc.heard import Heard
from asr_serving.live.ctc import CtcStream, Models
from asr_serving.live.listening import Pace
from asr_serving.live.updates import Update
from recordings import speech
from sounds import RATE, SOUNDS, music, rattle

from tests.serving.ctc.test_greedy import LABELS

STRIDE = LABELS.stride_samples
PACE = Pace(before=2.0, chunk=0.32, after=0.16, endpoint=0.8, longest=20.0, context=2.0)
SPOKEN_S = (3616 / RATE, 78_304 / RATE)  # of the sentence


async def acoustic(samples: np.ndarray) -> np.ndarray:
    """Hears As everywhere, with a pause after each."""
    log_probs = np.full((max(1, len(samples) // STRIDE), len(LABELS.labels)), -9.0, np.float32)
    log_probs[::2, 2] = log_probs[1::2, LABELS.blank] = -0.01
    return log_probs


async def decode(log_probs: np.ndarray, _: Mapping[str, object]) -> Heard:
    frames = np.flatnonzero(log_probs.argmax(axis=1) == 2)
    times = [{"word": "A", "start": frame * STRIDE / RATE, "end": frame * STRIDE / RATE} for frame in frames]
    return Heard("A" * len(frames), 0.5, times)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


def updates(samples: np.ndarray, detector: Detector | None, piece_s: float = 0.1) -> list[Update]:
    async def play() -> list[Update]:
        stream = CtcStream(PcmFormat("pcm_f32le", RATE, 1), LABELS, PACE, {}, Models(acoustic, decode), detector)
        pieces = np.split(samples, range(int(piece_s * RATE), len(samples), int(piece_s * RATE)))
        return [await stream.take(piece.tobytes(), index == len(pieces) - 1) for index, piece in enumerate(pieces)]

    return asyncio.run(play())


@pytest.mark.parametrize("sound", SOUNDS)
def test_where_nobody_speaks_nothing_is_written(detector: Detector, sound: str) -> None:
    found = updates(SOUNDS[sound](25), detector)
    assert {update.partial for update in found} == {""}
    assert not any(update.finals for update in found)


def test_music_and_a_machine_end_segments(detector: Detector) -> None:
    samples = np.concatenate((music(4), speech(), rattle(4), speech(), music(4)))
    finals = [final for update in updates(samples, detector) for final in update.finals]
    sentence_s = len(speech()) / RATE
    assert len(finals) == 2
    for final, begin_s in zip(finals, (4, 8 + sentence_s), strict=True):
        assert final.words[0]["start"] == pytest.approx(begin_s + SPOKEN_S[0] - 0.2, abs=0.15)
        assert final.words[-1]["end"] == pytest.approx(begin_s + SPOKEN_S[1] + 0.2, abs=0.3)
    (only,) = [final for update in updates(music(6), None) for final in update.finals]
    assert only.text  # the level takes music for speech


def test_the_first_words_come_while_they_are_said(detector: Detector) -> None:
    found = updates(np.concatenate((music(3), speech())), detector)
    first = next(update for update in found if update.partial)
    assert 3.2 < first.seconds < 4.0


@pytest.mark.parametrize("piece_s", [0.02, 0.7, 9.0])
def test_the_pieces_make_no_difference(detector: Detector, piece_s: float) -> None:
    samples = np.concatenate((music(3), speech(), rattle(3), speech(), speech()))
    found, expected = (
        [final for update in updates(samples, detector, piece) for final in update.finals] for piece in (piece_s, 0.1)
    )
    assert found == expected
    assert len(found) >= 2
