"""Words that the caller expects (names, products), found in the log-probs themselves.

After "Fast Context-Biasing for CTC and Transducer ASR models with CTC-based Word Spotter" (Andrusenko et al.,
Interspeech 2024): all hotwords run through the frames together, as one prefix tree with CTC's blanks and repeats,
beside the decoder and not inside it. Where one of them, with a bonus, is as likely as the best path over the same
frames, it takes that place. Unlike there, the bonus is for differences, each label that the best path lacks or has too
many: if it were for each label alike, a name would win by the letters that it shares with what was said. What such a
search costs depends on how many beginnings of hotwords sound like the recording, hardly on how many there are; without
hotwords nothing runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from labels import Labels
from numpy.typing import NDArray
from spelling import Speller

DEFAULT_WEIGHT = 4.0  # nats for each difference; docs/decoding.md tells how it was chosen
MAX_HOTWORDS = 10_000
MAX_LABELS = 100  # of one hotword
# A beginning that is so much less likely than the best path, its bonus included, is given up.
BEAM = 10.0
MAX_ACTIVE = 200
# A frame in which every label is so much less likely than the blank is passed over.
FLOOR = 8.0
# A label counts as heard where the best path has it within so many frames: another path may enter it sooner or later.
NEAR_FRAMES = 2
_ROOT = 0


@dataclass(frozen=True)
class Hotword:
    """A word, or several, and how much it is wished for."""

    text: str
    weight: float  # nats for each difference from the best path


@dataclass(frozen=True)
class Found:
    """A hotword at its place."""

    start: int  # first frame that it takes from the best path
    gain: float  # nats above the best path, bonus included
    path: NDArray[np.int64]  # int64 `[frames that it takes]`, the column of each, blanks and a first delimiter included


class HotwordTree:
    """Hotwords as a prefix tree of labels, ready to be searched for in any recording.

    Where the labels have a delimiter, a hotword stands between two of them, or at an end of the recording: else "art"
    would be found in "party".

    Args:
        hotwords: the words; of two that are written alike the heavier one counts, as it does for the labels with
            which both begin.
        labels: the vocabulary.

    Raises:
        UnknownCharacters: the labels cannot write one of them.
    """

    def __init__(self, hotwords: Sequence[Hotword], labels: Labels) -> None:
        self.vocabulary = labels
        speller = Speller(labels)
        self._label = [-1]  # of each node; the root has none
        self._bonus = [0.0]
        self._children: list[dict[int, int]] = [{}]
        self._spelling: dict[int, list[int]] = {}  # of the hotwords, by the node at which they are complete
        # At the beginning of a recording, or where labels need no delimiter, a hotword starts at the root.
        # All share the delimiter before them, and with it the smallest bonus.
        least = min(hotword.weight for hotword in hotwords)
        before = _ROOT if labels.delimiter is None else self._child(_ROOT, labels.delimiter, least)
        for hotword in hotwords:
            columns = speller.spell(hotword.text)
            for start in {_ROOT, before}:
                node = start
                for column in columns:
                    node = self._child(node, column, hotword.weight)
                head = [] if start == _ROOT else [self._label[start]]
                self._spelling[node] = head + columns
        counts = [len(children) for children in self._children]
        # The children of node n are `child_of[first[n] : first[n + 1]]`.
        self.first = np.concatenate(([0], np.cumsum(counts)))
        self.child_of = np.array([child for children in self._children for child in children.values()], dtype=np.int64)
        self.labels = np.array(self._label)
        self.bonuses = np.array(self._bonus, dtype=np.float32)
        self.is_complete = np.zeros(len(self._label), dtype=bool)
        self.is_complete[list(self._spelling)] = True
        at_root = self.child_of[: counts[_ROOT]]
        self.starts = at_root[:1] if labels.delimiter is not None else at_root  # anywhere
        self.starts_at_the_beginning = at_root
        del self._label, self._bonus, self._children  # ten times the size of the arrays, and trees are kept

    def _child(self, node: int, column: int, bonus: float) -> int:
        child = self._children[node].setdefault(column, len(self._label))
        if child == len(self._label):
            self._label.append(column)
            self._bonus.append(bonus)
            self._children.append({})
        self._bonus[child] = max(self._bonus[child], bonus)
        return child

    def placed(self, log_probs: NDArray[np.float32], gain: float, start: int, end: int, node: int) -> Found:
        """The hotword of a node, with the best way for its labels through the frames from `start` to `end`."""
        return Found(start, gain, align(log_probs[start:end], self._spelling[node], self.vocabulary.blank))


def apply(path: NDArray[np.int64], found: Sequence[Found], labels: Labels) -> NDArray[np.int64]:
    """The path, int64 `[frames]` of columns, with the hotwords in their places."""
    path = path.copy()
    for one in found:
        end = one.start + len(one.path)
        before, after = path[: one.start], path[end:]
        spoken_before, spoken_after = before[before != labels.blank], after[after != labels.blank]
        taken = one.path
        if len(spoken_before) and spoken_before[-1] == labels.delimiter:  # one is enough
            is_head = np.arange(len(taken)) < _head(taken, labels.blank)
            taken = np.where(is_head & (taken == labels.delimiter), labels.blank, taken)
        path[one.start : end] = taken
        if labels.delimiter is not None and len(spoken_after) and spoken_after[0] != labels.delimiter:
            path[end] = labels.delimiter
    return path


def search(trees: Sequence[HotwordTree], log_probs: Sequence[NDArray[np.float32]]) -> list[list[Found]]:
    """Where hotwords are at least as likely as the best path, bonus included; no two overlap.

    All recordings are searched in one pass over the frames; what is found in one does not depend on the others.

    Args:
        trees: one for each recording; all of one vocabulary.
        log_probs: float32 `[frames, vocab]`, one for each recording.
    """
    if not trees:
        return []
    found: list[list[Found]] = [[] for _ in trees]
    taken: list[list[tuple[int, int]]] = [[] for _ in trees]
    for gain, item, start, end, node in sorted(_Search(trees, log_probs).candidates(), reverse=True):
        if all(end <= first or start >= last for first, last in taken[item]):
            taken[item].append((start, end))
            found[item].append(trees[item].placed(log_probs[item], gain, start, end, node))
    return [sorted(ones, key=lambda one: one.start) for ones in found]


class _Search:
    """One pass over the frames of some recordings, with what is under way in any of them."""

    def __init__(self, trees: Sequence[HotwordTree], log_probs: Sequence[NDArray[np.float32]]) -> None:
        self._blank, self._delimiter = trees[0].vocabulary.blank, trees[0].vocabulary.delimiter
        self._join(trees)
        self._frames = np.array([len(item) for item in log_probs])
        shape = (len(log_probs), int(self._frames.max()))
        # Beyond a recording's end nothing is likely: what is under way there falls out of the beam.
        self._relative = np.full((*shape, log_probs[0].shape[1]), -np.inf, dtype=np.float32)
        self._unheard = np.ones(self._relative.shape, dtype=bool)
        self._begins = np.full(shape, -1)  # the label that the best path begins at a frame
        self._is_busy = np.zeros(shape, dtype=bool)
        self._first_spoken, self._last_spoken = np.zeros(len(log_probs)), np.zeros(len(log_probs))
        for item, values in enumerate(log_probs):
            self._prepare(item, values)

    def _join(self, trees: Sequence[HotwordTree]) -> None:
        """The nodes of all trees as those of one; recordings with the same hotwords share theirs."""
        distinct = list(dict.fromkeys(trees))
        offsets = dict(zip(distinct, np.cumsum([0, *(len(tree.labels) for tree in distinct)]).tolist(), strict=False))
        edges = np.cumsum([0, *(len(tree.child_of) for tree in distinct)])
        self._offsets = [offsets[tree] for tree in trees]
        self._labels = np.concatenate([tree.labels for tree in distinct])
        self._bonuses = np.concatenate([tree.bonuses for tree in distinct])
        self._is_complete = np.concatenate([tree.is_complete for tree in distinct])
        self._child_of = np.concatenate([tree.child_of + offsets[tree] for tree in distinct])
        self._first = np.concatenate(
            [*(tree.first[:-1] + at for tree, at in zip(distinct, edges, strict=False)), edges[-1:]]
        )
        self._starts = [tree.starts + offsets[tree] for tree in trees]
        self._starts_at_the_beginning = [tree.starts_at_the_beginning + offsets[tree] for tree in trees]

    def _prepare(self, item: int, log_probs: NDArray[np.float32]) -> None:
        frames, blank = len(log_probs), self._blank
        relative = log_probs - log_probs.max(axis=1, keepdims=True)
        best = log_probs.argmax(axis=1)
        others = relative.copy()
        others[:, blank] = -np.inf
        is_start = (best != blank) & (best != np.concatenate(([-1], best[:-1])))
        spoken = np.flatnonzero((best != blank) & (best != (blank if self._delimiter is None else self._delimiter)))
        self._relative[item, :frames] = relative
        self._unheard[item, :frames] = ~_heard(best, log_probs.shape[1])
        self._begins[item, :frames] = np.where(is_start, best, -1)
        self._is_busy[item, :frames] = others.max(axis=1) > -FLOOR
        self._first_spoken[item], self._last_spoken[item] = (spoken[0], spoken[-1]) if len(spoken) else (frames, -1)

    def candidates(self) -> list[tuple[float, int, int, int, int]]:
        """(gain, recording, first frame, frame after the last, node of its tree) of all that are likely enough."""
        active = _Active.none()
        candidates = []
        for frame in range(self._relative.shape[1]):
            candidates += self._complete(active, frame)
            if self._is_busy[:, frame].any():
                active = self._step(active, frame)
            else:  # mostly so: nothing starts, and nothing goes on but into the blank
                active = active.silent(self._relative[active.items, frame, self._blank])
        candidates += self._complete(active, self._relative.shape[1])
        return candidates

    def _complete(self, active: "_Active", frame: int) -> list[tuple[float, int, int, int, int]]:
        """The hotwords that may end before this frame, with what the delimiter after them costs."""
        which = np.flatnonzero(self._is_complete[active.nodes])
        which = which[frame <= self._frames[active.items[which]]]
        if not len(which):
            return []
        items, nodes, gains = active.items[which], active.nodes[which], active.scores[which]
        if self._delimiter is not None and frame < self._relative.shape[1]:
            closing = self._relative[items, frame, self._delimiter]
            closing = closing + self._bonuses[nodes] * self._unheard[items, frame, self._delimiter]
            is_last = (frame > self._last_spoken[items]) | (frame == self._frames[items])
            gains = gains + np.where(is_last, 0, closing)
        return [
            (float(gain), item, begun, frame, node - self._offsets[item])
            for gain, item, begun, node in zip(
                gains.tolist(), items.tolist(), active.begun[which].tolist(), nodes.tolist(), strict=True
            )
            if gain >= 0
        ]

    def _step(self, active: "_Active", frame: int) -> "_Active":
        """What is under way after one more frame: it stays, goes to the blank, goes on to a next label, or starts."""
        counts = self._first[active.nodes + 1] - self._first[active.nodes]
        parents = np.repeat(np.arange(len(active)), counts)
        offsets = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
        children = self._child_of[self._first[active.nodes[parents]] + offsets]
        # The same label again needs a blank between.
        allowed = active.in_blank[parents] | (self._labels[children] != self._labels[active.nodes[parents]])
        parents, children = parents[allowed], children[allowed]
        staying = np.flatnonzero(~active.in_blank)
        starting = [
            self._starts_at_the_beginning[item] if frame <= self._first_spoken[item] else self._starts[item]
            for item in range(len(self._frames))
        ]
        start_items = np.repeat(np.arange(len(starting)), [len(nodes) for nodes in starting])
        entered = np.concatenate((children, *starting))
        entered_items = np.concatenate((active.items[parents], start_items))
        entered_labels = self._labels[entered]
        entering = self._relative[entered_items, frame, entered_labels]
        entering = entering + self._bonuses[entered] * self._unheard[entered_items, frame, entered_labels]
        entering[: len(parents)] += active.scores[parents]
        stay_items = active.items[staying]
        items = np.concatenate((stay_items, active.items, entered_items))
        nodes = np.concatenate((active.nodes[staying], active.nodes, entered))
        in_blank = np.zeros(len(nodes), dtype=bool)
        in_blank[len(staying) : len(staying) + len(active)] = True
        scores = np.concatenate(
            (
                active.scores[staying] + self._relative[stay_items, frame, self._labels[active.nodes[staying]]],
                active.scores + self._relative[active.items, frame, self._blank],
                entering,
            )
        )
        begun = np.concatenate(
            (active.begun[staying], active.begun, active.begun[parents], np.full(len(start_items), frame))
        )
        # The bonus for a label that the best path has here and they have not.
        begins = self._begins[items, frame]
        lacking = (begins >= 0) & (in_blank | (self._labels[nodes] != begins))
        return _Active(items, nodes, in_blank, scores + self._bonuses[nodes] * lacking, begun).pruned()


@dataclass(frozen=True)
class _Active:
    """Beginnings of hotwords under way; arrays of one length."""

    items: NDArray[np.int64]  # int64, the recording
    nodes: NDArray[np.int64]  # int64, the last label that was heard
    in_blank: NDArray[np.bool_]  # bool, blanks have followed it
    scores: NDArray[np.float32]  # float32, nats above the best path, bonuses included
    begun: NDArray[np.int64]  # int64, first frame

    @classmethod
    def none(cls) -> "_Active":
        """Nothing under way."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, np.zeros(0, dtype=bool), np.zeros(0, dtype=np.float32), empty)

    def __len__(self) -> int:
        return len(self.nodes)

    def silent(self, blank: NDArray[np.float32]) -> "_Active":
        """After a frame in which the blank alone is likely."""
        return replace(self, in_blank=np.ones(len(self), dtype=bool), scores=self.scores + blank)

    def pruned(self) -> "_Active":
        """Without those out of question, and the best one alone of those at the same place."""
        likely = np.flatnonzero(self.scores > -BEAM)
        places = 2 * self.nodes[likely] + self.in_blank[likely]
        order = likely[np.lexsort((-self.scores[likely], places, self.items[likely]))]
        is_first = np.ones(len(order), dtype=bool)
        same_node = self.nodes[order[1:]] == self.nodes[order[:-1]]
        same_item = self.items[order[1:]] == self.items[order[:-1]]
        is_first[1:] = ~(same_node & same_item & (self.in_blank[order[1:]] == self.in_blank[order[:-1]]))
        kept = order[is_first]
        if len(kept) > MAX_ACTIVE:
            kept = self._best_of_each(kept)
        return _Active(self.items[kept], self.nodes[kept], self.in_blank[kept], self.scores[kept], self.begun[kept])

    def _best_of_each(self, kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """No more than so many of each recording, whatever is in the others."""
        order = kept[np.lexsort((-self.scores[kept], self.items[kept]))]
        items = self.items[order]
        ranks = np.arange(len(order)) - np.searchsorted(items, items)
        best: NDArray[np.int64] = order[ranks < MAX_ACTIVE]
        return best


def _heard(best: NDArray[np.int64], labels: int) -> NDArray[np.bool_]:
    """Bool `[frames, labels]`: whether the best path has a label at about that frame."""
    heard = np.zeros((len(best), labels), dtype=bool)
    frames = np.arange(len(best))
    for shift in range(-NEAR_FRAMES, NEAR_FRAMES + 1):
        inside = frames[(frames + shift >= 0) & (frames + shift < len(best))]
        heard[inside + shift, best[inside]] = True
    return heard


def _head(path: NDArray[np.int64], blank: int) -> int:
    """Where the second label of a path begins."""
    labels = np.flatnonzero(path != blank)
    others = labels[path[labels] != path[labels[0]]]
    return int(others[0]) if len(others) else len(path)


def align(log_probs: NDArray[np.float32], columns: Sequence[int], blank: int) -> NDArray[np.int64]:
    """The column of each frame on the most likely path that spells `columns` (Viterbi), int64 `[frames]`.

    Args:
        log_probs: float32 `[frames, vocab]`.
        columns: the labels, without blanks.
        blank: column of the blank.

    Raises:
        ValueError: there are too few frames for so many labels.
    """
    states = np.full(2 * len(columns) + 1, blank)
    states[1::2] = columns
    can_skip = np.zeros(len(states), dtype=bool)  # over the blank between two different labels
    can_skip[3::2] = states[3::2] != states[1:-2:2]
    scores = np.full(len(states), -math.inf)
    scores[:2] = log_probs[0, states[:2]]
    steps = np.zeros((len(log_probs), len(states)), dtype=np.int64)  # how many states back the path came from
    ways = np.full((3, len(states)), -math.inf)
    for frame in range(1, len(log_probs)):
        ways[0] = scores
        ways[1, 1:] = scores[:-1]
        ways[2, 2:] = np.where(can_skip[2:], scores[:-2], -math.inf)
        steps[frame] = ways.argmax(axis=0)
        scores = ways.max(axis=0) + log_probs[frame, states]
    state = len(states) - 1 if scores[-1] >= scores[-2] else len(states) - 2
    if scores[state] == -math.inf:
        raise ValueError(f"{len(log_probs)} frames for {len(columns)} labels; needs at least one each")
    path = np.empty(len(log_probs), dtype=np.int64)
    for frame in range(len(log_probs) - 1, -1, -1):
        path[frame] = states[state]
        state -= steps[frame, state]
    return path
