"""Where a recording is quiet: pauses in speech, told from it by the level alone."""

import numpy as np
from numpy.typing import NDArray

# Levels in this lower share of the range between quiet and loud are silence.
_SILENCE_SHARE = 0.35
_RANGE_DB = 12.0  # between quiet and loud; with less, speech does not stand out from the background
_QUIET, _LOUD = 5, 95  # percentiles of the levels


def is_silent(levels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each of `levels`, in dB, is silent; none is if speech does not stand out from the background."""
    quiet, loud = np.percentile(levels, (_QUIET, _LOUD))
    silent: NDArray[np.bool_] = (levels < quiet + _SILENCE_SHARE * (loud - quiet)) & (loud - quiet >= _RANGE_DB)
    return silent


def runs(values: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first index and the length of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], values, [False]))))
    return [(int(start), int(end - start)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def quietest(levels: NDArray[np.float64], width: int) -> float:
    """Return the middle, as an index, of the `width` levels with the lowest mean; of all levels if there are fewer."""
    width = min(width, len(levels))
    return int(np.convolve(levels, np.ones(width) / width, mode="valid").argmin()) + width / 2
