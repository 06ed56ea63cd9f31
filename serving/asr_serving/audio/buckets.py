"""Padding to one of a few lengths: Triton can batch some acoustic models only when shapes are equal."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray


def parse(text: str, longest: int) -> tuple[int, ...]:
    """Return the lengths in the setting `bucket_samples`: samples, ascending, separated by commas.

    Args:
        text: the setting; empty for no padding.
        longest: samples of the longest recording that the step accepts.

    Raises:
        ValueError: the text is malformed, or the last length is less than `longest`.
    """
    if not text:
        return ()
    words = text.split(",")
    lengths = tuple(int(word) for word in words if word.strip().isdecimal())
    if len(lengths) < len(words) or lengths[0] < 1 or list(lengths) != sorted(set(lengths)):
        raise ValueError(f"bucket_samples is {text!r}; needs whole numbers above 0, ascending, separated by commas")
    if lengths[-1] < longest:
        raise ValueError(f"bucket_samples ends at {lengths[-1]}; needs {longest}, for max_audio_seconds")
    return lengths


def pad(waveform: NDArray[np.float32], buckets: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the waveform `[samples]` with zeros up to the next of `buckets`; unchanged if there are no buckets."""
    if not buckets:
        return waveform
    width = buckets[bisect_left(buckets, len(waveform))]
    return np.pad(waveform, (0, width - len(waveform)))
