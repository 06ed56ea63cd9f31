"""The parts that the audio readers share: blocks of samples, and their limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from asr_contract.errors import AudioError, other_channels
from asr_contract.parameters import MAX_CHANNELS, MAX_SAMPLING_RATE, MIN_SAMPLING_RATE
from numpy.typing import NDArray

# A file of 64 channels at 384 kHz is 1000 times what the model hears, so readers read and downmix a piece at a time.
BLOCK_SAMPLES = 1 << 18
SUPPORTED = "WAV, FLAC, OGG (Opus, Vorbis), MP3, M4A/AAC, WebM, AIFF, AMR, WMA, or raw PCM with its encoding"
_SLACK_S = 60.0
# Channels cancel each other out if their mean has less than this share of the energy that unrelated channels leave in
# it. A balanced line in a stereo socket has the voice in one channel and its mirror image in the other.
_CANCELLED = 0.01

Block = tuple[NDArray[np.float32], int]  # float32 `[samples]`, see `downmix`; and the sampling rate in Hz


def check_format(rate: int, channels: int) -> None:
    """Raise an error for an unusable format before any sample is decoded: a header's claims decide what decoding costs.

    Raises:
        AudioError: the rate or the number of channels is one that no recording of speech has.
    """
    if not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE:
        raise AudioError(f"sampling rate is {rate} Hz; needs {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio has {channels} channels; needs 1 to {MAX_CHANNELS}")


@dataclass(frozen=True)
class Selection:
    """What is heard of the channels of a recording."""

    channel: int | None = None  # from 0; None: all of them, see `downmix`
    of_channels: int | None = None  # how many the recording has to have; None: any number

    def check(self, channels: int) -> None:
        """Raise an error for a recording that does not have the channels; the message tells how many it has.

        Raises:
            AudioError: there is no such channel, or there are more or fewer than there have to be.
        """
        if self.of_channels not in (None, channels):
            raise other_channels(channels, f"of_channels={self.of_channels} needs {self.of_channels}")
        if self.channel is not None and self.channel >= channels:
            raise other_channels(channels, f"channel={self.channel} needs {self.channel + 1} or more, counted from 0")

    def mono(self, samples: "NDArray[Any]", scale: float = 1.0) -> NDArray[np.float32]:
        """Return the one channel, or `downmix` of all; arguments and result are those of `downmix`."""
        one = slice(None) if self.channel is None else slice(self.channel, self.channel + 1)
        return downmix(samples[:, one], scale)


ALL = Selection()


def downmix(samples: "NDArray[Any]", scale: float = 1.0) -> NDArray[np.float32]:
    """Return the mean of the channels, or one channel if they cancel each other out.

    Args:
        samples: `[samples, channels]`, of any type.
        scale: the value of full scale.

    Returns:
        float32 `[samples]`, in its own memory.
    """
    mono = np.array(samples[:, 0], np.float32) if samples.shape[1] == 1 else _mean(samples)
    return mono if scale == 1 else mono / np.float32(scale)


def _mean(samples: "NDArray[Any]") -> NDArray[np.float32]:
    mono: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    floats = samples.astype(np.float32, copy=False)
    energies = np.einsum("ij,ij->j", floats, floats)
    if np.einsum("i,i", mono, mono) < _CANCELLED * energies.sum() / samples.shape[1] ** 2:
        # The first loud channel, not the loudest: of a pair, the loudest may change from block to block.
        return floats[:, int(np.argmax(energies >= energies.max() / 2))].copy()
    return mono


def check_plausible(seconds: float, size: int, bytes_per_s: int) -> None:
    """Raise an error for a decoder that yields more than the file can hold.

    Args:
        seconds: decoded so far.
        size: of the file, in bytes.
        bytes_per_s: the fewest bytes that a second takes in this format.

    Raises:
        AudioError: `size` bytes cannot hold so many seconds.
    """
    if seconds > _SLACK_S + size / bytes_per_s:
        raise AudioError(f"audio is broken: {size} bytes cannot hold {seconds:.0f} s and more")


def without(pieces: Iterator[Block], samples: int) -> Iterator[Block]:
    """Yield the blocks without the first `samples` samples."""
    for piece, rate in pieces:
        if samples < len(piece):
            yield piece[samples:], rate
        samples = max(0, samples - len(piece))
