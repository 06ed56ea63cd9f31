"""From the bytes of a recording to a mono float32 waveform at the model's sampling rate.

soxr resamples: librosa and SoX use the same engine, which is flat to 0.91 of Nyquist.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from asr_contract.errors import AudioError, too_long
from numpy.typing import NDArray

from asr_serving.audio.container import PcmFormat, blocks
from asr_serving.audio.samples import ALL, Block, Selection

# Float samples lie within ±1. The squares of samples above this overflow float32 when the model normalises.
MAX_AMPLITUDE = 1e9


@dataclass(frozen=True)
class Limits:
    """The limits of the acoustic model."""

    sampling_rate: int  # Hz, of the waveform that the model expects
    min_samples: int  # at `sampling_rate`: the receptive field of one output frame
    max_seconds: float  # bounds the memory of a batch


def load(
    data: bytes, limits: Limits, pcm: PcmFormat | None = None, selection: Selection = ALL
) -> tuple[NDArray[np.float32], float]:
    """Return one recording, decoded, downmixed, checked and resampled.

    Args:
        data: a whole audio file, or raw samples if `pcm` is given.
        limits: of the model.
        pcm: the layout of raw samples; None for a file, whose header has it.
        selection: of its channels.

    Returns:
        The waveform, float32 `[samples]` at `limits.sampling_rate`, and its duration in seconds.

    Raises:
        AudioError: the bytes are not audio, are cut short, hold NaN or Inf, are too short or too long, or do not have
            the channels that are selected.
    """
    mono, rate = _collect(blocks(io.BytesIO(data), pcm, selection), limits.max_seconds)
    seconds = len(mono) / rate
    check_samples(mono)
    if rate != limits.sampling_rate:
        mono = soxr.resample(mono, rate, limits.sampling_rate, quality="HQ")
    check_length(len(mono), seconds, limits)
    return np.ascontiguousarray(mono, dtype=np.float32), seconds


def check_samples(mono: NDArray[np.float32]) -> None:
    """Raise an error for samples that would spoil the model's results for the other recordings of a batch.

    Raises:
        AudioError: the samples hold NaN, Inf, or values far beyond ±1.
    """
    peak = float(np.abs(mono).max())
    if not peak <= MAX_AMPLITUDE:  # also true for NaN
        raise AudioError(
            f"audio holds NaN, Inf or samples beyond ±{MAX_AMPLITUDE:g} (peak {peak}); needs finite samples"
        )


def check_length(samples: int, seconds: float, limits: Limits) -> None:
    """Raise an error for a recording that is too short for one frame of the model.

    Raises:
        AudioError: there are fewer samples than `limits.min_samples`.
    """
    if samples < limits.min_samples:
        raise AudioError(
            f"audio is too short: {seconds * 1000:.1f} ms; this model needs at least "
            f"{1000 * limits.min_samples / limits.sampling_rate:.1f} ms ({limits.min_samples} samples at "
            f"{limits.sampling_rate} Hz)"
        )


def _collect(pieces: Iterator[Block], max_seconds: float) -> Block:
    """Return all blocks as one; stop soon after `max_seconds`, with an AudioTooLong."""
    samples, rate, length = [], 0, 0
    for piece, rate in pieces:
        samples.append(piece)
        length += len(piece)
        if length > max_seconds * rate:
            raise too_long(
                f"{length / rate:.2f} s or more",
                max_seconds,
                "cut it into shorter pieces, or export with a larger --max-audio-seconds",
            )
    if not length:
        raise AudioError("audio holds 0 samples")
    return samples[0] if len(samples) == 1 else np.concatenate(samples), rate
