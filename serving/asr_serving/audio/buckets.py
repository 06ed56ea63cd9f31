"""Padding to one of a few lengths, for an acoustic model that Triton can only batch when shapes are equal."""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray


def parse(text: str, longest: int) -> tuple[int, ...]:
    """The setting `bucket_samples`: lengths in samples, ascending, with commas between.

    Args:
        text: the setting; empty for no padding.
        longest: samples of the longest recording that may come.

    Raises:
        ValueError: not that, or the last one is shorter than the longest recording.
    """
    if not text:
        return ()
    words = text.split(",")
    lengths = tuple(int(word) for word in words if word.strip().isdecimal())
    if len(lengths) < len(words) or lengths[0] < 1 or list(lengths) != sorted(set(lengths)):
        raise ValueError(f"bucket_samples is {text!r}; needs whole numbers above 0, ascending, with commas between")
    if lengths[-1] < longest:
        raise ValueError(f"bucket_samples ends at {lengths[-1]}; needs {longest}, for max_audio_seconds")
    return lengths


def pad(waveform: NDArray[np.float32], buckets: tuple[int, ...]) -> NDArray[np.float32]:
    """The waveform `[samples]` with zeros up to the next of `buckets`; as it is when there are none."""
    if not buckets:
        return waveform
    width = buckets[bisect_left(buckets, len(waveform))]
    return np.pad(waveform, (0, width - len(waveform)))
