"""whisper-tiny.en, exported by the command and served: its texts are those of transformers' `generate()`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from asr_contract.word_errors import compare
from real import models, speech
from real.comparing import ComparedWhisper
from real.results import Results
from real.service import served
from real.speech import RATE, Recording
from sounds import SOUNDS, music, rattle

from tests.real.conftest import IS_SHORT

pytestmark = pytest.mark.real
NAME = "whisper-tiny.en"
QUARTER_OF_AN_HOUR_S = 900
PROMPT = "Asterisk conference: the extension, the agent, the pound key."


@pytest.fixture(scope="module")
def whisper(workplace: Path, results: Results) -> Iterator[ComparedWhisper]:
    checkpoint = models.checkpoint(NAME, workplace / NAME)
    limit = ("--max-audio-seconds", str(QUARTER_OF_AN_HOUR_S))
    with served(checkpoint, workplace / f"{NAME}-models", *limit) as service:
        yield ComparedWhisper.of(NAME, checkpoint, service, results)


def test_one_prompt_after_the_other(whisper: ComparedWhisper, english: list[Recording]) -> None:
    assert whisper.compare_in_turns("telephone prompts, en", [item.samples() for item in english[::4]]) == []


@pytest.mark.parametrize("asked", [{}, {"timestamps": True}, {"prompt": PROMPT}], ids=["plain", "timestamps", "prompt"])
def test_many_prompts_together(whisper: ComparedWhisper, english: list[Recording], asked: dict[str, object]) -> None:
    heard = english[:: 4 if asked and not IS_SHORT else 1]
    assert whisper.compare("telephone prompts, en", [item.samples() for item in heard], **asked) == []


def test_word_error_rate_of_the_prompts(whisper: ComparedWhisper, english: list[Recording], tmp_path: Path) -> None:
    assert whisper.word_errors("telephone prompts, en", english, tmp_path) < 0.05


def test_odd_recordings(whisper: ComparedWhisper, english: list[Recording]) -> None:
    """Lengths about those of a window, and recordings without speech."""
    said = speech.joined(english, 31)
    lengths = [said[: int(seconds * RATE)] for seconds in (0.03, 0.3, 1, 29.99, 30, 30.01)]
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE).astype(np.float32)
    assert whisper.compare("odd lengths, silence, noise, a tone", [*lengths, np.zeros_like(noise), noise, tone]) == []


@pytest.mark.parametrize("asked", [{}, {"timestamps": True}, {"prompt": PROMPT}], ids=["plain", "timestamps", "prompt"])
def test_a_joined_recording(whisper: ComparedWhisper, english: list[Recording], asked: dict[str, object]) -> None:
    assert whisper.compare("joined prompts, en", [speech.joined(english, 60 if IS_SHORT else 75)], **asked) == []


@pytest.mark.parametrize("sound", SOUNDS)
def test_where_nobody_speaks_nothing_is_written(whisper: ComparedWhisper, sound: str) -> None:
    for seconds in (3, 45):
        assert whisper.service.client.transcribe(SOUNDS[sound](seconds), sampling_rate=RATE, vad=True).text == ""


@pytest.mark.parametrize("sound", [rattle, music])
def test_words_between_sounds(
    whisper: ComparedWhisper, english: list[Recording], sound: Callable[[float], np.ndarray]
) -> None:
    """Without the voice detector, whisper-tiny.en loops for 140 words over the rattle."""
    first, second = english[:2]
    said = np.concatenate([sound(20), first.samples(), sound(35), second.samples(), sound(12)])
    heard = whisper.service.client.transcribe(said, sampling_rate=RATE, vad=True).text
    score = compare([(f"{first.text} {second.text}", heard)])
    assert score.word_errors <= 0.15 * score.words


@pytest.mark.skipif(IS_SHORT, reason="only in the full form: minutes")
def test_a_quarter_of_an_hour(whisper: ComparedWhisper, english: list[Recording]) -> None:
    """Each prompt several times: the loops of a Whisper must be the same, too."""
    said = speech.joined(english * 4, QUARTER_OF_AN_HOUR_S - 30)
    assert whisper.compare("joined prompts, en", [said]) == []
