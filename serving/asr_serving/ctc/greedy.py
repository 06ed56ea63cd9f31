"""Greedy (best-path) CTC decoding, vectorised over a batch whose items differ in length.

The best path takes the most likely label of every frame, merges repeats and drops blanks (Graves et al. 2006, section
3.2).
"""

import numpy as np
from asr_contract.errors import RequestError
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.ctc.hypotheses import Runs


def check(log_probs: NDArray[np.float32], frames: int, labels: Labels) -> None:
    """Raise an error for an item that cannot be decoded.

    Raises:
        RequestError: the shape is not `[width, vocab]`, or the frame count is not from 1 to `width`.
    """
    if log_probs.ndim != 2 or log_probs.shape[1] != len(labels.labels) or not 1 <= frames <= len(log_probs):
        raise RequestError(
            f"log_probs of shape {list(log_probs.shape)} with {frames} frames; "
            f"needs [frames or more, {len(labels.labels)}] and at least 1 frame"
        )


def best_paths(items: list[NDArray[np.float32]]) -> list[Runs]:
    """Return the runs of equal labels on each item's best path; it computes all items at once, as one row of frames.

    Args:
        items: one float32 `[frames, vocab]` each, at least one frame.
    """
    if not items:
        return []
    best = np.concatenate([item.argmax(axis=1) for item in items])
    scores = np.concatenate([item.max(axis=1) for item in items])
    posteriors = np.exp(scores)
    counts = np.array([len(item) for item in items])
    offsets = np.concatenate(([0], np.cumsum(counts)))
    is_start = np.ones(len(best), dtype=bool)
    is_start[1:] = best[1:] != best[:-1]
    is_start[offsets[:-1]] = True  # a run never extends into the next item
    starts = np.flatnonzero(is_start)
    ends = np.append(starts[1:], len(best))
    means = np.add.reduceat(posteriors, starts) / (ends - starts)
    bounds = np.searchsorted(starts, offsets)
    return [
        Runs(best[starts[a:b]], starts[a:b] - offset, ends[a:b] - offset, means[a:b])
        for a, b, offset in zip(bounds[:-1], bounds[1:], offsets[:-1], strict=True)
    ]
