"""Words that the caller expects (names, products), searched for in the log-probs themselves.

After "Fast Context-Biasing for CTC and Transducer ASR models with CTC-based Word Spotter" (Andrusenko et al.,
Interspeech 2024): all hotwords go through the frames together, as one prefix tree with CTC's blanks and repeats. The
search runs beside the decoder, not inside it. If a hotword with its bonus is as likely as the best path over the same
frames, it replaces that part of the path. Unlike in the paper, the bonus is for differences: for each label that the
best path lacks or has in excess. If every label had a bonus, a name would win through the letters that it shares with
the spoken words. The cost of a search depends on how many beginnings of hotwords sound like the recording, and hardly
on the number of hotwords. Without hotwords no search runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from asr_contract.errors import ParameterError
from asr_contract.labels import Labels
from asr_contract.parameters import HOTWORD_WEIGHT
from numpy.typing import NDArray

from asr_serving.ctc.spelling import Speller

MAX_HOTWORDS = 10_000
MAX_LABELS = 100  # of each hotword
_ROOT = 0


@dataclass(frozen=True)
class Hotword:
    """A word, or several, and the bonus for it."""

    text: str
    weight: float  # nats for each difference from the best path


def parse(text: str, weight: float) -> tuple[Hotword, ...]:
    """Return the hotwords in `"acme, Quilter^5"`; those without their own weight get `weight` (nats).

    Raises:
        ParameterError: too many words, a word without characters or with too many, or a weight that is out of range.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if len(entries) > MAX_HOTWORDS:
        raise ParameterError(f"hotwords holds {len(entries)} words; needs {MAX_HOTWORDS} or fewer")
    hotwords = []
    for entry in entries:
        word, mark, own = entry.partition("^")
        word = " ".join(word.split())
        if not word or len(word) > MAX_LABELS:
            raise ParameterError(f"hotword {entry[:120]!r}; needs WORD or WORD^WEIGHT, of 1 to {MAX_LABELS} characters")
        wished = HOTWORD_WEIGHT.check(f"the weight of hotword {word!r}", own.strip()) if mark else weight
        hotwords.append(Hotword(word, wished))
    return tuple(hotwords)


@dataclass(frozen=True)
class Found:
    """A hotword at its place in the frames."""

    start: int  # first frame that it takes from the best path
    gain: float  # nats above the best path, bonus included
    path: NDArray[np.int64]  # int64 `[frames that it takes]`, the column of each, with blanks and a first delimiter


class HotwordTree:
    """Hotwords as a prefix tree of labels, ready to be searched for in any recording.

    If the labels have a delimiter, a hotword must stand between two delimiters or at an end of the recording; otherwise
    "art" would be found in "party".

    Args:
        hotwords: the words. If two have the same spelling, the higher weight counts; if two begin with the same labels,
            the higher weight counts for these labels.
        labels: the vocabulary.

    Raises:
        UnknownCharacters: the labels cannot write one of the hotwords.
    """

    def __init__(self, hotwords: Sequence[Hotword], labels: Labels) -> None:
        self.vocabulary = labels
        speller = Speller(labels)
        self._label = [-1]  # of each node; the root has none
        self._bonus = [0.0]
        self._children: list[dict[int, int]] = [{}]
        self.spelling: dict[int, list[int]] = {}  # of each hotword, by the node at which it is complete
        # At the beginning of a recording, and with labels that need no delimiter, a hotword starts at the root.
        # All hotwords share the delimiter before them, and it has the smallest bonus.
        least = min(hotword.weight for hotword in hotwords)
        before = _ROOT if labels.delimiter is None else self._child(_ROOT, labels.delimiter, least)
        for hotword in hotwords:
            columns = speller.spell(hotword.text)
            for start in {_ROOT, before}:
                node = start
                for column in columns:
                    node = self._child(node, column, hotword.weight)
                head = [] if start == _ROOT else [self._label[start]]
                self.spelling[node] = head + columns
        counts = [len(children) for children in self._children]
        # The children of node n are `child_of[first[n] : first[n + 1]]`.
        self.first = np.concatenate(([0], np.cumsum(counts)))
        self.child_of = np.array([child for children in self._children for child in children.values()], dtype=np.int64)
        self.labels = np.array(self._label)
        self.bonuses = np.array(self._bonus, dtype=np.float64)
        self.is_complete = np.zeros(len(self._label), dtype=bool)
        self.is_complete[list(self.spelling)] = True
        at_root = self.child_of[: counts[_ROOT]]
        self.starts = at_root[:1] if labels.delimiter is not None else at_root  # anywhere in the recording
        self.starts_at_the_beginning = at_root
        del self._label, self._bonus, self._children  # ten times the arrays' size, and trees stay in memory

    def _child(self, node: int, column: int, bonus: float) -> int:
        child = self._children[node].setdefault(column, len(self._label))
        if child == len(self._label):
            self._label.append(column)
            self._bonus.append(bonus)
            self._children.append({})
        self._bonus[child] = max(self._bonus[child], bonus)
        return child


def apply(path: NDArray[np.int64], found: Sequence[Found], labels: Labels) -> NDArray[np.int64]:
    """Return the path, int64 `[frames]` of columns, with the hotwords in their places."""
    path = path.copy()
    for one in found:
        end = one.start + len(one.path)
        before, after = path[: one.start], path[end:]
        spoken_before, spoken_after = before[before != labels.blank], after[after != labels.blank]
        taken = one.path
        if len(spoken_before) and spoken_before[-1] == labels.delimiter:  # one delimiter is enough
            is_head = np.arange(len(taken)) < _head(taken, labels.blank)
            taken = np.where(is_head & (taken == labels.delimiter), labels.blank, taken)
        path[one.start : end] = taken
        if labels.delimiter is not None and len(spoken_after) and spoken_after[0] != labels.delimiter:
            path[end] = labels.delimiter
    return path


def _head(path: NDArray[np.int64], blank: int) -> int:
    """Return the frame at which the second label of a path begins."""
    labels = np.flatnonzero(path != blank)
    others = labels[path[labels] != path[labels[0]]]
    return int(others[0]) if len(others) else len(path)
