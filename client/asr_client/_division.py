"""Division of a transcript into segments by the times of its words, where the model gives no segments itself.

A segment ends before a pause of 0.6 s, at which a subtitle ends as well, or with a sentence before a pause of 0.2 s. A
full stop without a pause is mostly one of "Mr." and the like. What is longer than a window of Whisper then is cut at
its longest pause.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

from asr_client import _wording

PAUSE_S = 0.6
PAUSE_AFTER_SENTENCE_S = 0.2
LONGEST_S = 30.0


class Timed(Protocol):
    """A word and when it was said."""

    @property
    def word(self) -> str:
        """Return the word; not only white space."""

    @property
    def start(self) -> float:
        """Return its beginning, in seconds."""

    @property
    def end(self) -> float:
        """Return its end, in seconds."""


AnyTimed = TypeVar("AnyTimed", bound=Timed)


def divide(text: str, words: Sequence[AnyTimed]) -> Iterator[tuple[str, Sequence[AnyTimed]]]:
    """Yield the text of each segment, with its words.

    Args:
        text: of the transcript.
        words: all words of it, in order of time.
    """
    line = _wording.one_line(text, [word.word for word in words])
    places = [place for place, character in enumerate(line) if character != " "]
    done = 0
    for segment in _shortened(_segments(words)):
        following = done + sum(len(_wording.letters(word.word)) for word in segment)
        yield line[places[done] : places[following - 1] + 1], segment
        done = following


def _segments(words: Sequence[AnyTimed]) -> Iterator[Sequence[AnyTimed]]:
    begin = 0
    for number, (word, following) in enumerate(pairwise(words), 1):
        pause_s = following.start - word.end
        if pause_s >= PAUSE_S or (pause_s >= PAUSE_AFTER_SENTENCE_S and _wording.ends_sentence(word.word)):
            yield words[begin:number]
            begin = number
    if words:
        yield words[begin:]


def _shortened(segments: Iterable[Sequence[AnyTimed]]) -> Iterator[Sequence[AnyTimed]]:
    for segment in segments:
        waiting = [segment]
        while waiting:
            part = waiting.pop()
            if len(part) == 1 or part[-1].end - part[0].start <= LONGEST_S:
                yield part
            else:
                place = _longest_pause(part)
                waiting += [part[place:], part[:place]]


def _longest_pause(words: Sequence[AnyTimed]) -> int:
    """Return the word after the longest pause; of equal ones, that next to the middle."""
    middle = (words[0].start + words[-1].end) / 2

    def rank(place: int) -> tuple[float, float]:
        return words[place].start - words[place - 1].end, -abs(words[place].start - middle)

    return max(range(1, len(words)), key=rank)
