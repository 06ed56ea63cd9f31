"""Subtitles: a transcript cut into cues that viewers can read.

A transcript's words have times; so do segments, which hold several words. Both are cut into atoms, between which a line
may break, and an atom gets its share of the time of its word or segment. Of all the ways to cut the atoms into cues
that fit the screen, `_groups` takes the one of the least cost (docs/decisions/0062-cues-of-least-cost.md).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from asr_client import _columns, _wording
from asr_client._division import PAUSE_S
from asr_client._results import Transcription, Word
from asr_client._turns import by_speaker

# Subtitle guides (BBC, Netflix) agree on these limits, for a viewer who reads about 17 characters a second.
LINE_COLUMNS = 42
CUE_LINES = 2
MIN_CUE_S = 1.0
MAX_CUE_S = 7.0
# Half as fast as slow speech (100 words, or 160 Chinese characters, a minute). A long segment with less text holds
# silence, and so does a word of 30 s.
SLOWEST_COLUMNS_PER_S = 5.0
# The next cue waits so long where several begin at one time: players leave out cues that take no time.
SHORTEST_CUE_S = 0.1

# What a cue costs by its end: 0 for the end of a sentence.
_CUE = 1.0
_AFTER_CLAUSE = 0.25
_ELSEWHERE = 0.5
_WITHIN_WORD = 0.25  # more: the time is a share of the word's
_TOO_SHORT = 1.0  # more, for one that the next replaces within MIN_CUE_S
_SLACK = 0.5  # times the square of the room that is left: cues of similar length


@dataclass(frozen=True)
class Cue:
    """One subtitle."""

    start: float  # seconds
    end: float  # seconds; after `start`
    lines: tuple[str, ...]
    text: str  # the lines as one line
    speaker: str | None = None  # with `channels="separate"`


@dataclass(frozen=True)
class _Letter:
    """A character of a word, and when it was said."""

    start: float  # seconds
    end: float  # seconds
    word: int  # number of its word


@dataclass(frozen=True)
class _Unit:
    """An atom, and when it was said."""

    atom: _columns.Atom
    start: float  # seconds
    end: float  # seconds
    first_word: int  # that its first character belongs to
    last_word: int


def cues(transcription: Transcription) -> list[Cue]:
    """Return subtitles of at most 2 lines of 42 columns and 7 s, which do not overlap.

    A pause of 0.6 s begins a new one. A subtitle lasts at least 1 s if the next one leaves room. Words have spaces
    between them where the transcript's text has spaces. Without words, the text of each segment shares its time.

    Each speaker has subtitles of its own, in the order of their start; those of several may overlap, as their speech.
    """
    if all(segment.speaker is None for segment in transcription.segments):
        return _cues(transcription)
    each = (replace(cue, speaker=speaker) for speaker, said in by_speaker(transcription) for cue in _cues(said))
    return sorted(each, key=lambda cue: cue.start)


def _cues(transcription: Transcription) -> list[Cue]:
    """Return the subtitles of one speaker, or of a transcript without speakers."""
    text, words = _said(transcription)
    groups = [group for run in _runs(_units(text, words)) for group in _groups(run)]
    starts: list[float] = []
    for group in groups:
        starts.append(max(group[0].start, starts[-1] + SHORTEST_CUE_S if starts else 0.0))
    return [
        Cue(
            start,
            min(max(start + MIN_CUE_S, *(unit.end for unit in group)), start + MAX_CUE_S, following),
            tuple(_columns.balanced([unit.atom for unit in group], LINE_COLUMNS)),
            text[group[0].atom.place : group[-1].atom.place + len(group[-1].atom.text)],
        )
        for group, (start, following) in zip(groups, pairwise([*starts, math.inf]), strict=True)
    ]


def _said(transcription: Transcription) -> tuple[str, list[Word]]:
    """Return the text in one line, and the words or segments whose letters it has."""
    words = [word for word in transcription.words if word.word.strip()]
    if not words:
        words = [Word(each.text, each.start, each.end, each.confidence) for each in transcription.segments]
    return _wording.one_line(transcription.text, [word.word for word in words]), words


def _units(text: str, words: Sequence[Word]) -> list[_Unit]:
    """Return the atoms of the text with their times."""
    places = [place for place, character in enumerate(text) if character != " "]
    letters = dict(zip(places, _timed(words), strict=True))
    word_ends = {place + 1 for place, after in pairwise(places) if letters[place].word != letters[after].word}
    units = []
    for atom in _columns.atoms(text, LINE_COLUMNS, word_ends):
        first, last = letters[atom.place], letters[atom.place + len(atom.text) - 1]
        units.append(_Unit(atom, first.start, last.end, first.word, last.word))
    return units


def _timed(words: Sequence[Word]) -> Iterator[_Letter]:
    """Yield the letters of the words. They share the time of their word by their width; no word begins too early."""
    now = 0.0
    for number, word in enumerate(words):
        letters = _wording.letters(word.word)
        columns = max(1, _columns.width(letters))
        now = max(now, word.start)
        length = min(max(0.0, word.end - now), max(MAX_CUE_S, columns / SLOWEST_COLUMNS_PER_S))
        done = 0
        for letter in letters:
            start, done = now + length * done / columns, done + _columns.width(letter)
            yield _Letter(start, now + length * done / columns, number)


def _runs(units: Sequence[_Unit]) -> Iterator[Sequence[_Unit]]:
    """Yield the units between pauses."""
    begin = 0
    for number, (unit, following) in enumerate(pairwise(units), 1):
        if following.start - unit.end >= PAUSE_S:
            yield units[begin:number]
            begin = number
    if units:
        yield units[begin:]


def _groups(run: Sequence[_Unit]) -> list[Sequence[_Unit]]:
    """Return the units of a run in cues that fit the screen, at the least cost."""
    costs = [0.0] + [math.inf] * len(run)  # of all units before
    begins = [0] * (len(run) + 1)  # of the cue that ends before
    for first in range(len(run)):
        for end in _ends(run, first):
            cost = costs[first] + _cost(run, first, end)
            if cost < costs[end]:
                costs[end], begins[end] = cost, first
    groups = []
    end = len(run)
    while end:
        groups.append(run[begins[end] : end])
        end = begins[end]
    return groups[::-1]


def _ends(run: Sequence[_Unit], first: int) -> Iterator[int]:
    """Yield where a cue that begins with a unit may end: before which units."""
    lines, line = 0, None
    for number in range(first, len(run)):
        line, is_new = _columns.place(run[number].atom, line, LINE_COLUMNS)
        lines += is_new
        if number > first and (lines > CUE_LINES or run[number].end - run[first].start > MAX_CUE_S):
            return
        yield number + 1


def _cost(run: Sequence[_Unit], first: int, end: int) -> float:
    columns = sum(unit.atom.width + unit.atom.is_spaced for unit in run[first:end])
    cost = _CUE + _SLACK * max(0.0, 1 - columns / (CUE_LINES * LINE_COLUMNS)) ** 2
    if end == len(run):
        return cost
    last, following = run[end - 1], run[end]
    if not _wording.ends_sentence(last.atom.text):
        cost += _AFTER_CLAUSE if _wording.ends_clause(last.atom.text) else _ELSEWHERE
    cost += _WITHIN_WORD * (last.last_word == following.first_word)
    cost += _TOO_SHORT * (following.start - run[first].start < MIN_CUE_S)
    return cost
