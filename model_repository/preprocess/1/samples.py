"""What the readers of audio have in common: blocks of samples, their limits, and the error that refuses a recording."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_SAMPLING_RATE = 4_000
MAX_SAMPLING_RATE = 384_000
MAX_CHANNELS = 64
# A file of 64 channels at 384 kHz is 1000 times what the model hears: read and downmix a piece at a time.
BLOCK_SAMPLES = 1 << 18
SUPPORTED = "WAV, FLAC, OGG (Opus, Vorbis), MP3, M4A/AAC, WebM, AIFF, AMR, WMA, or raw PCM with its encoding"
_SLACK_S = 60.0

Block = tuple[NDArray[np.float32], int]  # float32 `[samples]`, the mean of the channels; and the sampling rate in Hz


class AudioError(ValueError):
    """The recording cannot be used; the message is for the person who sent it."""


def check_format(rate: int, channels: int) -> None:
    """Refuse a format before any sample is decoded: what a header claims is what decoding costs.

    Raises:
        AudioError: a rate or a number of channels that no recording of speech has.
    """
    if not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE:
        raise AudioError(f"sampling rate is {rate} Hz; needs {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio has {channels} channels; needs 1 to {MAX_CHANNELS}")


def downmix(samples: "NDArray[Any]", scale: float = 1.0) -> NDArray[np.float32]:
    """Return the mean of the channels, in memory of its own: `[samples, channels]` -> float32 `[samples]`."""
    mono = np.array(samples[:, 0], np.float32) if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    return mono if scale == 1 else mono / np.float32(scale)


def check_plausible(seconds: float, size: int, bytes_per_s: int) -> None:
    """Stop a decoder that goes on without end.

    Args:
        seconds: that were decoded so far.
        size: of the file, in bytes.
        bytes_per_s: what a second takes at least in its format.

    Raises:
        AudioError: so many bytes cannot hold so many seconds.
    """
    if seconds > _SLACK_S + size / bytes_per_s:
        raise AudioError(f"audio is broken: {size} bytes cannot hold {seconds:.0f} s and more")


def without(pieces: Iterator[Block], samples: int) -> Iterator[Block]:
    """Pass blocks on but for the first samples."""
    for piece, rate in pieces:
        if samples < len(piece):
            yield piece[samples:], rate
        samples = max(0, samples - len(piece))
