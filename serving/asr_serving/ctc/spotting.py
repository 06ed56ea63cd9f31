"""The search for hotwords in the log-probs of a recording: one pass over its frames, in machine code.

numba compiles this module when it is imported, in ten seconds. Later processes find the result in `__pycache__`, or in
the user's cache if that folder cannot be written. An export includes the result.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from asr_serving.ctc.hotwords import Found, HotwordTree

# The search gives up a beginning that is this many nats below the best path, bonus included.
BEAM = 10.0
MAX_ACTIVE = 200
# A label counts as heard if the best path has it within this many frames: another path may enter it earlier or later.
NEAR_FRAMES = 2

# Code that one machine has compiled must also run on others of the same architecture.
numba.config.CPU_NAME = "generic"  # type: ignore[attr-defined]
numba.config.CPU_FEATURES = ""  # type: ignore[attr-defined]

_Function = TypeVar("_Function", bound=Callable[..., object])
_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_NO_LABEL = -1
_NOWHERE = -1

# A recording: log-probs, float32 `[frames, vocab]`, and the best one of each frame; the column of each frame on
# the best path; the label that begins there on it, or none; the columns of the blank and of the delimiter, or none.
_Heard = tuple[NDArray[np.float32], NDArray[np.float32], _Integers, _Integers, int, int]
_HEARD = "Tuple((f4[:, ::1], f4[::1], i8[::1], i8[::1], i8, i8))"
# The nodes of a `HotwordTree`: labels, bonuses, is_complete, first, child_of.
_Tree = tuple[_Integers, _Floats, NDArray[np.bool_], _Integers, _Integers]
_TREE = "Tuple((i8[::1], f8[::1], b1[::1], i8[::1], i8[::1]))"
# The beginnings of hotwords that the search follows, each in two ways: its last label goes on, or blanks follow it.
# Nodes `[n]`; scores `[2, n]`, nats above the best path, bonuses included; and first frames `[2, n]`.
_Active = tuple[_Integers, _Floats, _Integers]
_ACTIVE = "Tuple((i8[::1], f8[:, ::1], i8[:, ::1]))"
_LASTS, _RESTS = 0, 1


def search(tree: HotwordTree, log_probs: NDArray[np.float32]) -> list[Found]:
    """Return the hotwords, in order, that are at least as likely as the best path, bonus included; none overlap.

    Args:
        tree: the hotwords.
        log_probs: float32 `[frames, vocab]`, without NaN.
    """
    log_probs = _as_compiled_for(log_probs)
    labels = tree.vocabulary
    heard = _heard(log_probs, labels.blank, _NO_LABEL if labels.delimiter is None else labels.delimiter)
    nodes = (tree.labels, tree.bonuses, tree.is_complete, tree.first, tree.child_of)
    candidates = _spot(heard, nodes, tree.starts, tree.starts_at_the_beginning)
    found: list[tuple[int, int, float, int]] = []
    for gain, start, end, node in sorted(zip(*(column.tolist() for column in candidates), strict=True), reverse=True):
        if all(end <= first or start >= last for first, last, *_ in found):
            found.append((start, end, gain, node))
    return [
        Found(start, gain, align(log_probs[start:end], tree.spelling[node], labels.blank))
        for start, end, gain, node in sorted(found)
    ]


def align(log_probs: NDArray[np.float32], columns: Sequence[int], blank: int) -> _Integers:
    """Return each frame's column on the most likely path that spells `columns` (Viterbi), int64 `[frames]`.

    Args:
        log_probs: float32 `[frames, vocab]`, without NaN.
        columns: the labels, without blanks.
        blank: column of the blank.

    Raises:
        ValueError: there are fewer frames than labels need.
    """
    path = _align(_as_compiled_for(log_probs), np.array(columns, dtype=np.int64), blank)
    if not len(path):
        raise ValueError(f"{len(log_probs)} frames for {len(columns)} labels; needs at least one each")
    return path


def _as_compiled_for(log_probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the same values, as a copy if numba would see another type: read-only, or laid out in another way."""
    return np.require(log_probs, np.float32, ("C", "W"))


def _compiled(signature: str) -> Callable[[_Function], _Function]:
    """Return a decorator that compiles for these types, and caches the machine code if a folder can be written."""

    def compile_it(function: _Function) -> _Function:
        try:
            machine_code: Any = numba.njit(signature, nogil=True, cache=True)(function)
        except RuntimeError:  # no folder can be written
            machine_code = numba.njit(signature, nogil=True)(function)
        return cast(_Function, machine_code)

    return compile_it


@_compiled(f"{_HEARD}(f4[:, ::1], i8, i8)")
def _heard(log_probs: NDArray[np.float32], blank: int, delimiter: int) -> _Heard:
    peaks = np.empty(len(log_probs), np.float32)
    best = np.empty(len(log_probs), np.int64)
    begins = np.full(len(log_probs), _NO_LABEL, np.int64)
    for frame in range(len(log_probs)):
        best[frame] = np.argmax(log_probs[frame])
        peaks[frame] = log_probs[frame, best[frame]]
        if best[frame] != blank and (frame == 0 or best[frame - 1] != best[frame]):
            begins[frame] = best[frame]
    return log_probs, peaks, best, begins, blank, delimiter


@_compiled(f"f8(i8, i8, {_HEARD})")
def _relative(frame: int, column: int, heard: _Heard) -> float:
    """Return the log-probability of a column minus that of the best path in this frame, in nats; 0 or less."""
    difference: float = heard[0][frame, column] - heard[1][frame]
    return difference


@_compiled(f"f8(i8, i8, f8, {_HEARD})")
def _for_entering(frame: int, label: int, bonus: float, heard: _Heard) -> float:
    """Return the bonus for entering a label, if the best path does not have that label nearby."""
    best = heard[2]
    for near in range(max(0, frame - NEAR_FRAMES), min(len(best), frame + NEAR_FRAMES + 1)):
        if best[near] == label:
            return 0.0
    return bonus


@_compiled(f"f8(i8, i8, i8, {_HEARD}, {_TREE})")
def _for_passing(frame: int, column: int, node: int, heard: _Heard, tree: _Tree) -> float:
    """Return the bonus for a column, if the best path begins a different label there.

    There is no bonus for a delimiter after the last label: it closes the hotword, however late it comes.
    """
    begins, delimiter = heard[3][frame], heard[5]
    if begins in (_NO_LABEL, column) or (begins == delimiter and tree[2][node]):
        return 0.0
    bonus: float = tree[1][node]
    return bonus


@_compiled(f"i8(i8, {_HEARD}, {_TREE}, {_ACTIVE}, i8, {_ACTIVE}, i8[::1])")
def _go_on(frame: int, heard: _Heard, tree: _Tree, now: _Active, count: int, then: _Active, places: _Integers) -> int:
    """Continue the first `count` beginnings of `now` with their label or a blank, in `then`; return how many remain.

    It writes the place of each into `places`, int64 `[nodes]`.
    """
    blank = heard[4]
    nodes, scores, begun = now
    number = 0
    for at in range(count):
        node = nodes[at]
        label = tree[0][node]
        lasts = scores[_LASTS, at] + _relative(frame, label, heard) + _for_passing(frame, label, node, heard, tree)
        better = _LASTS if scores[_LASTS, at] > scores[_RESTS, at] else _RESTS
        rests = scores[better, at] + _relative(frame, blank, heard) + _for_passing(frame, blank, node, heard, tree)
        if lasts > -BEAM or rests > -BEAM:
            then[0][number], places[node] = node, number
            then[1][_LASTS, number], then[2][_LASTS, number] = lasts, begun[_LASTS, at]
            then[1][_RESTS, number], then[2][_RESTS, number] = rests, begun[better, at]
            number += 1
    return number


@_compiled(f"i8(i8, {_HEARD}, {_TREE}, i8[::1], {_ACTIVE}, i8, {_ACTIVE}, i8[::1], i8)")
def _enter(
    frame: int,
    heard: _Heard,
    tree: _Tree,
    starts: _Integers,
    now: _Active,
    count: int,
    then: _Active,
    places: _Integers,
    number: int,
) -> int:
    """Add the beginnings that enter a next label, or a hotword's first label, in this frame; return the new number."""
    labels, bonuses, _, first, child_of = tree
    nodes, scores, begun = now
    for at in range(count + 1):
        children = starts if at == count else child_of[first[nodes[at]] : first[nodes[at] + 1]]
        for child in children:
            label, score, since = labels[child], 0.0, frame
            if at < count:
                score, since = scores[_RESTS, at], begun[_RESTS, at]
                # The same label again needs a blank in between.
                if scores[_LASTS, at] > score and label != labels[nodes[at]]:
                    score, since = scores[_LASTS, at], begun[_LASTS, at]
            score += _relative(frame, label, heard)
            if score + 2 * bonuses[child] <= -BEAM:  # most of them
                continue
            score += _for_entering(frame, label, bonuses[child], heard)
            score += _for_passing(frame, label, child, heard, tree)
            if score <= -BEAM:
                continue
            place = places[child]
            if place == _NOWHERE:
                place = number
                number += 1
                then[0][place], places[child] = child, place
                then[1][_LASTS, place], then[1][_RESTS, place] = -math.inf, -math.inf
                then[2][_RESTS, place] = since
            if score > then[1][_LASTS, place]:
                then[1][_LASTS, place], then[2][_LASTS, place] = score, since
    return number


@_compiled(f"i8({_ACTIVE}, i8)")
def _keep_best(active: _Active, count: int) -> int:
    """Keep only the best beginnings if there are too many; return their number."""
    if count <= MAX_ACTIVE:
        return count
    nodes, scores, begun = active
    best = np.maximum(scores[_LASTS, :count], scores[_RESTS, :count])
    least = np.partition(best, count - MAX_ACTIVE)[count - MAX_ACTIVE]
    number = 0
    for at in range(count):
        if best[at] >= least and number < MAX_ACTIVE:
            nodes[number] = nodes[at]
            scores[:, number] = scores[:, at]
            begun[:, number] = begun[:, at]
            number += 1
    return number


@_compiled(f"{_ACTIVE}(i8)")
def _none(nodes: int) -> _Active:
    """Return uninitialised arrays for `nodes` beginnings."""
    return np.empty(nodes, np.int64), np.empty((2, nodes)), np.empty((2, nodes), np.int64)


@_compiled(f"Tuple((f8[::1], i8[::1], i8[::1], i8[::1]))({_HEARD}, {_TREE}, i8[::1], i8[::1])")
def _spot(
    heard: _Heard, tree: _Tree, starts: _Integers, starts_at_the_beginning: _Integers
) -> tuple[_Floats, _Integers, _Integers, _Integers]:
    """Return gain, first frame, frame after the last, and node of all hotwords at all places that are likely enough."""
    _, _, best, _, blank, delimiter = heard
    _, bonuses, is_complete, _, _ = tree
    spoken = np.flatnonzero((best != blank) & (best != delimiter))
    # The cost of the delimiter that must follow a hotword, and whether the best path lacks it. Both are 0 if no more
    # words follow, because no delimiter is needed then.
    closing, lacking = np.zeros(len(best) + 1), np.zeros(len(best) + 1)
    if len(spoken) and delimiter != _NO_LABEL:
        for end in range(1, spoken[-1] + 1):
            closing[end] = _relative(end, delimiter, heard)
            lacking[end] = _for_entering(end, delimiter, 1.0, heard)
    now, then, count = _none(len(is_complete)), _none(len(is_complete)), 0
    places = np.full(len(is_complete), _NOWHERE, np.int64)
    gains, firsts, ends, found = np.empty(64), np.empty(64, np.int64), np.empty(64, np.int64), np.empty(64, np.int64)
    size = 0
    for frame in range(len(best)):
        is_beginning = not len(spoken) or frame <= spoken[0]
        number = _go_on(frame, heard, tree, now, count, then, places)
        beginnings = starts_at_the_beginning if is_beginning else starts
        number = _enter(frame, heard, tree, beginnings, now, count, then, places, number)
        places[then[0][:number]] = _NOWHERE
        now, then, count = then, now, _keep_best(then, number)
        for at in range(count):
            node = now[0][at]
            if not is_complete[node]:
                continue
            for way in (_LASTS, _RESTS):
                gain = now[1][way, at] + closing[frame + 1] + lacking[frame + 1] * bonuses[node]
                if gain >= 0:
                    if size == len(gains):
                        gains, firsts = np.concatenate((gains, gains)), np.concatenate((firsts, firsts))
                        ends, found = np.concatenate((ends, ends)), np.concatenate((found, found))
                    gains[size], firsts[size], ends[size], found[size] = gain, now[2][way, at], frame + 1, node
                    size += 1
    return gains[:size], firsts[:size], ends[:size], found[:size]


@_compiled("i8[::1](f4[:, ::1], i8[::1], i8)")
def _align(log_probs: NDArray[np.float32], columns: _Integers, blank: int) -> _Integers:
    """See `align`; return an empty array if there are too few frames."""
    frames, size = len(log_probs), 2 * len(columns) + 1
    states = np.full(size, blank)
    states[1::2] = columns
    scores, then = np.full(size, -math.inf), np.empty(size)
    scores[0], scores[1] = log_probs[0, states[0]], log_probs[0, states[1]]
    steps = np.zeros((frames, size), np.int64)  # how many states back the path came from
    for frame in range(1, frames):
        for state in range(size):
            score, step = scores[state], 0
            if state >= 1 and scores[state - 1] > score:
                score, step = scores[state - 1], 1
            # Skip the blank between two different labels.
            if state >= 3 and state % 2 and states[state] != states[state - 2] and scores[state - 2] > score:
                score, step = scores[state - 2], 2
            then[state], steps[frame, state] = score + log_probs[frame, states[state]], step
        scores, then = then, scores
    state = size - 1 if scores[-1] >= scores[-2] else size - 2
    if scores[state] == -math.inf:
        return np.empty(0, np.int64)
    path = np.empty(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = states[state]
        state -= steps[frame, state]
    return path
