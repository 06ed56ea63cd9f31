"""Greedy (best-path) CTC decoding, vectorised over a batch whose items differ in length.

Best path: the most likely label of every frame, repeats merged, blanks dropped (Graves et al. 2006, section 3.2).
"""

import itertools
from dataclasses import dataclass

import numpy as np
from labels import Labels
from numpy.typing import NDArray

# CTC marks a label somewhere within its sound, rather late than early. So much, in seconds, does a word begin before
# the frames of its first label and end after those of its last one (measured in docs/model-repository.md).
ONSET_S = 0.03
OFFSET_S = 0.02


@dataclass(frozen=True)
class Word:
    """One word and where it was heard."""

    word: str
    start: float  # seconds from the start of the recording
    end: float  # seconds
    confidence: float  # 0 to 1, mean posterior of its labels


@dataclass(frozen=True)
class Hypothesis:
    """What was heard in one recording."""

    text: str
    confidence: float  # 0 to 1, mean posterior of the emitted labels; of the blank where none was emitted
    words: list[Word]


@dataclass(frozen=True)
class _Emission:
    """Runs of one label on the best path of one item; arrays `[runs]`."""

    columns: NDArray[np.int64]  # int64, column of the label
    starts: NDArray[np.int64]  # int64, first frame
    ends: NDArray[np.int64]  # int64, the frame after the last
    posteriors: NDArray[np.float32]  # float32, mean over the run


def check(log_probs: NDArray[np.float32], frames: int, labels: Labels) -> None:
    """Refuse an item that `decode` cannot take.

    Raises:
        ValueError: a shape other than `[width, vocab]`, or a frame count that is not from 1 to `width`.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] != len(labels.labels) or not 1 <= frames <= len(log_probs):
        raise ValueError(
            f"log_probs of shape {list(log_probs.shape)} with {frames} frames; "
            f"needs [frames or more, {len(labels.labels)}] and at least 1 frame"
        )


def decode(log_probs: list[NDArray[np.float32]], frames: list[int], labels: Labels) -> list[Hypothesis]:
    """Decode a batch of items that have passed `check`.

    Args:
        log_probs: one float32 `[width, vocab]` an item; widths may differ and exceed `frames` (padding).
        frames: how many frames of each item are real, at least 1.
        labels: the vocabulary.

    An item whose log-probs hold NaN comes back with confidence NaN and no text; its neighbours are not touched.
    """
    if not log_probs:
        return []
    emissions = _best_path([item[:count] for item, count in zip(log_probs, frames, strict=True)])
    return [_hypothesis(emission, labels) for emission in emissions]


def _best_path(items: list[NDArray[np.float32]]) -> list[_Emission]:
    """The runs of equal labels on each item's best path, all items at once as one flat row of frames."""
    best = np.concatenate([item.argmax(axis=1) for item in items])
    scores = np.concatenate([item.max(axis=1) for item in items])
    posteriors = np.exp(scores)
    counts = np.array([len(item) for item in items])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    is_start = np.ones(len(best), dtype=bool)
    is_start[1:] = best[1:] != best[:-1]
    is_start[offsets[:-1]] = True  # a run never reaches over into the next item
    starts = np.flatnonzero(is_start)
    ends = np.append(starts[1:], len(best))
    means = np.add.reduceat(posteriors, starts) / (ends - starts)
    bounds = np.searchsorted(starts, offsets)
    return [
        _Emission(best[starts[a:b]], starts[a:b] - offset, ends[a:b] - offset, means[a:b])
        for a, b, offset in zip(bounds[:-1], bounds[1:], offsets[:-1], strict=True)
    ]


def _hypothesis(emission: _Emission, labels: Labels) -> Hypothesis:
    if np.isnan(emission.posteriors).any():
        return Hypothesis("", float("nan"), [])
    spoken = emission.columns != labels.blank
    if not spoken.any():
        lengths = emission.ends - emission.starts
        return Hypothesis("", float(np.average(emission.posteriors, weights=lengths)), [])
    columns = emission.columns[spoken].tolist()
    starts, ends = emission.starts[spoken], emission.ends[spoken]
    posteriors = emission.posteriors[spoken]
    spans = _word_spans(columns, labels)
    times = _word_times([(starts[a], ends[b - 1]) for a, b in spans], emission.ends[-1], labels)
    words = [
        Word(labels.text(columns[a:b]), start, end, round(float(posteriors[a:b].mean()), 4))
        for (a, b), (start, end) in zip(spans, times, strict=True)
    ]
    return Hypothesis(labels.text(columns), float(posteriors.mean()), words)


def _word_spans(columns: list[int], labels: Labels) -> list[tuple[int, int]]:
    """Index ranges of `columns` that make a word."""
    if labels.word_start is not None:
        begins = [i for i, column in enumerate(columns) if labels.labels[column].startswith(labels.word_start)]
        cuts = sorted({0, *begins, len(columns)})
        # A piece may be nothing but the mark, and another word may follow it at once.
        return [(a, b) for a, b in itertools.pairwise(cuts) if labels.text(columns[a:b])]
    if labels.delimiter is None:
        return [(i, i + 1) for i in range(len(columns))]
    cuts = [-1, *(i for i, column in enumerate(columns) if column == labels.delimiter), len(columns)]
    return [(a + 1, b) for a, b in itertools.pairwise(cuts) if b > a + 1]


def _word_times(spans: list[tuple[int, int]], frames: int, labels: Labels) -> list[tuple[float, float]]:
    """Seconds at which words of the given frames start and end: widened to their edges, but never into a neighbour."""
    if not spans:
        return []
    starts, ends = np.array(spans).T
    gaps = np.concatenate(([2 * starts[0]], starts[1:] - ends[:-1], [2 * (frames - ends[-1])]))
    frames_per_s = labels.sampling_rate / labels.stride_samples
    onsets = starts - np.minimum(ONSET_S * frames_per_s, gaps[:-1] / 2)
    offsets = ends + np.minimum(OFFSET_S * frames_per_s, gaps[1:] / 2)
    seconds = [labels.seconds(edges) for edges in (onsets, offsets)]
    return list(zip(*(np.round(edges, 3).tolist() for edges in seconds), strict=True))
