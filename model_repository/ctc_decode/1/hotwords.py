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
    """One pass over the frames of some recordings, with what is under way in any of them.

    In most frames nothing but the blank is likely. They are passed over, in each recording by itself: a step takes the
    next frame of each in which anything is, so that there are as many steps as the busiest recording has such frames.
    """

    def __init__(self, trees: Sequence[HotwordTree], log_probs: Sequence[NDArray[np.float32]]) -> None:
        self._blank, self._delimiter = trees[0].vocabulary.blank, trees[0].vocabulary.delimiter
        self._frames = np.array([len(item) for item in log_probs])
        shape = (len(log_probs), int(self._frames.max()))
        self._relative = np.full((*shape, log_probs[0].shape[1]), -np.inf, dtype=np.float32)
        self._unheard = np.ones(self._relative.shape, dtype=bool)
        self._begins = np.full(shape, -1)  # the label that the best path begins at a frame
        self._silence = np.zeros((shape[0], shape[1] + 1))  # what the blanks of all frames before this one add up to
        self._first_spoken, self._last_spoken = np.zeros(len(log_probs)), np.zeros(len(log_probs))
        busy = [self._prepare(item, values) for item, values in enumerate(log_probs)]
        # `[steps, recordings]`: the frame of each; the number of its frames where it has none left.
        self._busy = np.tile(self._frames, (max(map(len, busy)), 1))
        for item, frames in enumerate(busy):
            self._busy[: len(frames), item] = frames
        self._join(trees)

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
        self._edge_labels = self._labels[self._child_of]
        self._is_repeat = self._edge_labels == np.repeat(self._labels, np.diff(self._first))
        self._largest_bonus = float(self._bonuses.max())
        # Where hotwords may start: the recording, the node, and the last frame in which they may.
        starts = [tree.starts_at_the_beginning for tree in trees]
        self._start_items = np.repeat(np.arange(len(trees)), [len(nodes) for nodes in starts])
        self._start_nodes = np.concatenate([nodes + offsets[tree] for tree, nodes in zip(trees, starts, strict=True)])
        self._start_until = np.concatenate(
            [
                np.where(np.isin(tree.starts_at_the_beginning, tree.starts), np.inf, until)
                for tree, until in zip(trees, self._first_spoken, strict=True)
            ]
        )

    def _prepare(self, item: int, log_probs: NDArray[np.float32]) -> NDArray[np.int64]:
        """Take in a recording; its frames in which another label than the blank is likely."""
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
        self._silence[item, 1 : frames + 1] = np.cumsum(relative[:, blank], dtype=np.float64)
        self._first_spoken[item], self._last_spoken[item] = (spoken[0], spoken[-1]) if len(spoken) else (frames, -1)
        return np.flatnonzero(others.max(axis=1) > -FLOOR)

    def candidates(self) -> list[tuple[float, int, int, int, int]]:
        """(gain, recording, first frame, frame after the last, node of its tree) of all that are likely enough."""
        active = _Active.none()
        candidates = []
        after = np.zeros(len(self._frames), dtype=np.int64)  # of each recording, the frame after the last step's
        for frames in self._busy:
            candidates += self._complete(active, after, frames)
            goes_on = frames < self._frames
            active = self._pass_over(active.of(goes_on[active.items]), after, frames)
            active = self._step(active, frames, goes_on)
            after = frames + 1
        return candidates + self._complete(active, after, self._frames)

    def _complete(
        self, active: "_Active", first: NDArray[np.int64], last: NDArray[np.int64]
    ) -> list[tuple[float, int, int, int, int]]:
        """The hotwords that may end before any of the frames from `first` to `last`, with what the delimiter costs."""
        which = np.flatnonzero(self._is_complete[active.nodes])
        if not len(which):
            return []
        counts = (last - first + 1)[active.items[which]]
        which = np.repeat(which, counts)
        items, nodes = active.items[which], active.nodes[which]
        frames = first[items] + np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        gains = active.scores[which] + (self._silence[items, frames] - self._silence[items, first[items]])
        if self._delimiter is not None:
            inside = np.minimum(frames, self._relative.shape[1] - 1)
            closing = self._relative[items, inside, self._delimiter]
            closing = closing + self._bonuses[nodes] * self._unheard[items, inside, self._delimiter]
            is_last = (frames > self._last_spoken[items]) | (frames == self._frames[items])
            gains = gains + np.where(is_last, 0, closing)
        likely = np.flatnonzero(gains >= 0)
        begun = active.begun[which]
        return [
            (float(gains[index]), int(items[index]), int(begun[index]), int(frames[index]), node)
            for index, node in zip(likely, self._in_their_trees(items[likely], nodes[likely]), strict=True)
        ]

    def _in_their_trees(self, items: NDArray[np.int64], nodes: NDArray[np.int64]) -> list[int]:
        return [int(node) - self._offsets[item] for item, node in zip(items, nodes, strict=True)]

    def _pass_over(self, active: "_Active", first: NDArray[np.int64], end: NDArray[np.int64]) -> "_Active":
        """What is under way before the frames `end`, when nothing but the blank was likely since `first`."""
        items = active.items
        silence = self._silence[items, end[items]] - self._silence[items, first[items]]
        return replace(
            active,
            in_blank=active.in_blank | (end > first)[items],
            scores=active.scores + silence.astype(np.float32),
        )

    def _step(self, active: "_Active", frames: NDArray[np.int64], goes_on: NDArray[np.bool_]) -> "_Active":
        """What is under way after one more frame: it stays, goes to the blank, goes on to a next label, or starts."""
        rows = np.arange(len(frames)) * self._relative.shape[1] + np.minimum(frames, self._relative.shape[1] - 1)
        parents, children = self._next_labels(active, rows)
        may_start = goes_on[self._start_items] & (frames[self._start_items] <= self._start_until)
        start_items, start_nodes = self._start_items[may_start], self._start_nodes[may_start]
        staying = np.flatnonzero(~active.in_blank)
        items = np.concatenate((active.items[staying], active.items, active.items[parents], start_items))
        nodes = np.concatenate((active.nodes[staying], active.nodes, children, start_nodes))
        before = np.concatenate(
            (active.scores[staying], active.scores, active.scores[parents], np.zeros(len(start_items), np.float32))
        )
        old = len(staying) + len(active)
        in_blank = np.zeros(len(nodes), dtype=bool)
        in_blank[len(staying) : old] = True
        at, spelled = rows[items], self._labels[nodes]
        cells = at * self._relative.shape[2] + np.where(in_blank, self._blank, spelled)
        # The bonus for a label that the best path has not, and for one that it has here and they have not. A delimiter
        # after the last label is the one that closes the hotword, however late it does so.
        begins = self._begins.take(at)
        is_needless = (begins >= 0) & (in_blank | (spelled != begins))
        if self._delimiter is not None:
            is_needless &= (begins != self._delimiter) | ~self._is_complete[nodes]
        differences = is_needless.astype(np.float32)
        differences[old:] += self._unheard.take(cells[old:])
        scores = before + self._relative.take(cells) + self._bonuses[nodes] * differences
        likely = np.flatnonzero(scores > -BEAM)
        begun = np.concatenate((active.begun[staying], active.begun, active.begun[parents], frames[start_items]))
        return _Active(items[likely], nodes[likely], in_blank[likely], scores[likely], begun[likely]).pruned()

    def _next_labels(self, active: "_Active", rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What may come next, of what is not out of question: index of what is under way, and node of the label."""
        first = self._first[active.nodes]
        counts = self._first[active.nodes + 1] - first
        edges = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        cells = np.repeat(rows[active.items] * self._relative.shape[2], counts) + self._edge_labels[edges]
        scores = np.repeat(active.scores, counts) + self._relative.take(cells)
        # At most two bonuses are added to that.
        which = np.flatnonzero(scores > -BEAM - 2 * self._largest_bonus)
        parents, edges = np.repeat(np.arange(len(active)), counts)[which], edges[which]
        # The same label again needs a blank between.
        allowed = active.in_blank[parents] | ~self._is_repeat[edges]
        return parents[allowed], self._child_of[edges[allowed]]


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

    def of(self, which: "NDArray[np.bool_] | NDArray[np.int64]") -> "_Active":
        """Some of them."""
        return _Active(
            self.items[which], self.nodes[which], self.in_blank[which], self.scores[which], self.begun[which]
        )

    def pruned(self) -> "_Active":
        """The best one alone of those at the same place, and no more than so many."""
        if not len(self):
            return self
        places = 2 * self.nodes + self.in_blank
        places = self.items * (int(places.max()) + 1) + places
        order = np.lexsort((-self.scores, places))
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = places[order[1:]] != places[order[:-1]]
        kept = order[is_first]
        if len(kept) > MAX_ACTIVE:
            kept = self._best_of_each(kept)
        return self.of(kept)

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
