"""Silence in the place of frames in which nobody speaks: what an acoustic model hears there is not written.

The audio there is silent, too, but a model may write something in silence.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.ctc.heard import NEVER, silence


def hush(log_probs: NDArray[np.float32], speech: Sequence[tuple[int, int]], labels: Labels) -> NDArray[np.float32]:
    """Return log-probs with silence in all frames outside the speech.

    Between two spans of speech, a word ends: if the acoustic model says so only in the frames that are hushed, one of
    them becomes the delimiter.

    Args:
        log_probs: float32 `[frames, vocab]`.
        speech: the first sample of each span, and the one after its last, in order; none if nobody speaks.
        labels: of the acoustic model.

    Returns:
        float32 `[frames, vocab]`; the same array if all frames have speech.
    """
    edges = labels.seconds(np.arange(len(log_probs) + 1, dtype=np.float64)) * labels.sampling_rate
    spoken = np.zeros(len(log_probs), dtype=bool)
    for start, end in speech:
        spoken |= (edges[:-1] < end) & (edges[1:] > start) & (end > start)
    if spoken.all():
        return log_probs
    hushed = np.where(spoken[:, None], log_probs, silence(labels))
    if labels.delimiter is not None:
        _separate(hushed, log_probs, spoken, labels.blank, labels.delimiter)
    return hushed


def _separate(
    hushed: NDArray[np.float32], log_probs: NDArray[np.float32], spoken: NDArray[np.bool_], blank: int, delimiter: int
) -> None:
    """Write a delimiter into each gap between two labels that has none on either side."""
    best = hushed.argmax(axis=1)
    heard = np.flatnonzero(best != blank)
    for before, after in itertools.pairwise(heard):
        gap = before + 1 + np.flatnonzero(~spoken[before + 1 : after])
        if len(gap) and delimiter not in (best[before], best[after]):
            frame = gap[log_probs[gap, delimiter].argmax()]
            hushed[frame] = NEVER
            hushed[frame, delimiter] = 0
