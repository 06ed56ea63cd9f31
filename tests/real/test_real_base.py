"""whisper-base, multilingual, exported by the command and served: its texts are those of transformers' `generate()`."""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest
from real import models, speech
from real.comparing import ComparedWhisper
from real.results import Results
from real.service import served
from real.speech import Recording

pytestmark = pytest.mark.real
NAME = "whisper-base"
HUMAN = ("fr", "it", "ru")  # of the prompts, beside English
FEW = 4
PROMPT = "Asterisk conference: the extension, the agent, the pound key."


@pytest.fixture(scope="module")
def whisper(workplace: Path, results: Results) -> Iterator[ComparedWhisper]:
    checkpoint = models.checkpoint(NAME, workplace / NAME)
    with served(checkpoint, workplace / f"{NAME}-models") as service:
        yield ComparedWhisper.of(NAME, checkpoint, service, results)


@pytest.fixture(scope="module")
def clips(workplace: Path) -> list[Recording]:
    return speech.clips(workplace / "clips")


def test_one_prompt_after_the_other(whisper: ComparedWhisper, english: list[Recording]) -> None:
    assert whisper.compare_in_turns("telephone prompts, en", [item.samples() for item in english[::4]]) == []


def test_word_error_rate_of_the_prompts(whisper: ComparedWhisper, english: list[Recording], tmp_path: Path) -> None:
    assert whisper.word_errors("telephone prompts, en", english[::4], tmp_path) < 0.05


@pytest.mark.parametrize("language", HUMAN)
def test_prompts_in_other_languages(
    whisper: ComparedWhisper, prompts: Callable[[str, int], list[Recording]], language: str, tmp_path: Path
) -> None:
    heard = prompts(language, FEW)
    samples = [item.samples() for item in heard]
    assert whisper.compare(f"telephone prompts, {language}", samples) == []
    assert whisper.compare(f"telephone prompts, {language}", samples, task="translate", language=language) == []
    assert (
        whisper.word_errors(f"telephone prompts, {language}", heard, tmp_path) < 0.5
    )  # transformers has 0.42 in Russian


@pytest.mark.parametrize(("task", "most"), [("transcribe", None), ("translate", 1)])
def test_clips_whose_language_is_named(
    whisper: ComparedWhisper, clips: list[Recording], task: str, most: int | None
) -> None:
    different = []
    for language, group in groupby(clips, lambda clip: clip.language):
        samples = [clip.samples() for clip in group][:most]
        different += whisper.compare("clips", samples, language=language, task=task, timestamps=True)
    assert different == []


def test_clips_whose_language_is_detected(whisper: ComparedWhisper, clips: list[Recording]) -> None:
    one_of_each = [next(group).samples() for _, group in groupby(clips, lambda clip: clip.language)]
    assert whisper.compare("clips", one_of_each, language="auto") == []


@pytest.mark.parametrize("asked", [{}, {"prompt": PROMPT}], ids=["plain", "prompt"])
def test_a_joined_recording(whisper: ComparedWhisper, english: list[Recording], asked: dict[str, object]) -> None:
    assert whisper.compare("joined prompts, en", [speech.joined(english, 65)], **asked) == []
