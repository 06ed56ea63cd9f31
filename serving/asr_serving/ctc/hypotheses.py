"""The last step of every decoder: it turns labels and their frames into text, confidence and words with times."""

import itertools
from dataclasses import dataclass

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

# CTC marks a label somewhere within its sound, late rather than early. A word begins this many seconds before the
# frames of its first label, and ends this many after those of its last one (measured in docs/model-repository.md).
ONSET_S = 0.03
OFFSET_S = 0.02


@dataclass(frozen=True)
class Word:
    """One word and its time in the recording."""

    word: str
    start: float  # seconds from the start of the recording
    end: float  # seconds
    confidence: float  # 0 to 1, mean posterior of its labels


@dataclass(frozen=True)
class Hypothesis:
    """The transcript of one recording."""

    text: str
    confidence: float  # 0 to 1, mean posterior of the emitted labels; of the blank if no label was emitted
    words: list[Word]


@dataclass(frozen=True)
class Runs:
    """The labels of a path in order, with blanks, each with its frames; arrays `[runs]`."""

    columns: NDArray[np.int64]  # int64, column of the label
    starts: NDArray[np.int64]  # int64, first frame
    ends: NDArray[np.int64]  # int64, the frame after the last
    posteriors: NDArray[np.float32]  # float32, mean over the run


def runs_of(path: NDArray[np.int64], log_probs: NDArray[np.float32]) -> Runs:
    """Return the runs of a path through the frames.

    Args:
        path: int64 `[frames]`, the column of each frame; equal columns in a row are one label.
        log_probs: float32 `[frames, vocab]`.
    """
    starts = np.flatnonzero(np.concatenate(([True], path[1:] != path[:-1])))
    ends = np.append(starts[1:], len(path))
    posteriors = np.exp(log_probs[np.arange(len(path)), path])
    return Runs(path[starts], starts, ends, np.add.reduceat(posteriors, starts) / (ends - starts))


def hypothesis(runs: Runs, labels: Labels) -> Hypothesis:
    """Return the text, confidence and words that these labels spell.

    A recording whose posteriors hold NaN gets confidence NaN and no text.
    """
    if np.isnan(runs.posteriors).any():
        return Hypothesis("", float("nan"), [])
    spoken = runs.columns != labels.blank
    if not spoken.any():
        lengths = runs.ends - runs.starts
        return Hypothesis("", float(np.average(runs.posteriors, weights=lengths)), [])
    columns = runs.columns[spoken].tolist()
    starts, ends = runs.starts[spoken], runs.ends[spoken]
    posteriors = runs.posteriors[spoken]
    spans = _word_spans(columns, labels)
    times = _word_times([(starts[a], ends[b - 1]) for a, b in spans], runs.ends[-1], labels)
    words = [
        Word(labels.text(columns[a:b]), start, end, round(float(posteriors[a:b].mean()), 4))
        for (a, b), (start, end) in zip(spans, times, strict=True)
    ]
    return Hypothesis(labels.text(columns), float(posteriors.mean()), words)


def _word_spans(columns: list[int], labels: Labels) -> list[tuple[int, int]]:
    """Return the index range of each word in `columns`."""
    if labels.word_start is not None:
        begins = [i for i, column in enumerate(columns) if labels.labels[column].startswith(labels.word_start)]
        cuts = sorted({0, *begins, len(columns)})
        # A piece may hold only the mark, and another word may follow it at once.
        return [(a, b) for a, b in itertools.pairwise(cuts) if labels.text(columns[a:b])]
    if labels.delimiter is None:
        return [(i, i + 1) for i in range(len(columns))]
    cuts = [-1, *(i for i, column in enumerate(columns) if column == labels.delimiter), len(columns)]
    return [(a + 1, b) for a, b in itertools.pairwise(cuts) if b > a + 1]


def _word_times(spans: list[tuple[int, int]], frames: int, labels: Labels) -> list[tuple[float, float]]:
    """Return the seconds at which words start and end: wider than their frames, but never overlapping a neighbour."""
    if not spans:
        return []
    starts, ends = np.array(spans).T
    gaps = np.concatenate(([2 * starts[0]], starts[1:] - ends[:-1], [2 * (frames - ends[-1])]))
    frames_per_s = labels.sampling_rate / labels.stride_samples
    onsets = starts - np.minimum(ONSET_S * frames_per_s, gaps[:-1] / 2)
    offsets = ends + np.minimum(OFFSET_S * frames_per_s, gaps[1:] / 2)
    seconds = [labels.seconds(edges) for edges in (onsets, offsets)]
    return list(zip(*(np.round(edges, 3).tolist() for edges in seconds), strict=True))
