"""Batches of waveforms -> the inputs of a graph, for each way in which a graph takes a batch."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Float32 waveforms `[samples]` -> the inputs of a graph of some kind.
Feed = Callable[[Sequence[NDArray[np.float32]]], dict[str, NDArray[Any]]]


def ragged_feed(batch: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Return the inputs of a ragged graph for float32 waveforms `[samples]`."""
    return {"audio": np.concatenate(batch), "audio_shape": np.array([[len(wave)] for wave in batch], dtype=np.int32)}


def sized_feed(batch: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Return the inputs of a ragged graph that takes its width as a shape; the values of that input are NaN."""
    return {**ragged_feed(batch), "longest": np.full(max(map(len, batch)), np.nan, np.float32)}


def dense_feed(batch: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Return the inputs of a dense graph: more samples than needed, and NaN beyond the end of each waveform.

    A waveform alone has neither.
    """
    more = 0 if len(batch) == 1 else 600  # more than a block, and no whole one
    audio = np.full((len(batch), max(map(len, batch)) + more), np.nan, np.float32)
    for row, wave in zip(audio, batch, strict=True):
        row[: len(wave)] = wave
    return {"audio": audio, "lengths": np.array([[len(wave)] for wave in batch], dtype=np.int32)}


def equal_feed(batch: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Return the inputs of a graph that takes waveforms of one length, `[n, samples]`."""
    return {"audio": np.stack(batch)}
