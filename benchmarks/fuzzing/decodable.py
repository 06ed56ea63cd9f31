"""What a broken file holds, told without the server: an oracle for words that are not its own.

`own` runs in a process that serves nobody. The kit's reader, that of the repository that is served, gives the samples
that have to be heard. Two readings that share no code with it, one by FFmpeg and one by libsndfile, have to give the
same: all of what they give or the beginning of it, but for the silence that the kit puts where a container's clock has
a gap.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Own:
    """What the file says."""

    samples: NDArray[np.float32]  # `[samples]`
    sampling_rate: int  # Hz
    is_decodable: bool  # another reader gives the same


def use(repository: Path) -> None:
    """Read as the served repository does; once in a process."""
    sys.path.insert(0, str(repository / "preprocess" / "1"))


def own(data: bytes) -> Own | None:
    """Return what a file says; None when the kit's reader refuses it."""
    from asr_serving.audio import container

    try:
        pieces = list(container.blocks(io.BytesIO(data)))
    except ValueError:
        return None
    if not pieces:
        return None
    samples = np.concatenate([piece for piece, _ in pieces])
    return Own(samples, pieces[0][1], any(begins(samples, reading) for reading in readings(data)))


def readings(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield what libsndfile gives, and what FFmpeg gives, mono; until they break off."""
    for reader in (_by_libsndfile, _by_ffmpeg):
        parts = [np.zeros(0, np.float32)]
        with contextlib.suppress(soundfile.LibsndfileError, av.error.FFmpegError, ValueError, EOFError, IndexError):
            for part in reader(data):
                parts.append(part.mean(axis=1, dtype=np.float32))
        yield np.concatenate(parts)


def begins(samples: NDArray[np.float32], reading: NDArray[np.float32]) -> bool:
    """Whether a reading begins with these samples, silence left aside."""
    heard, there = samples[samples != 0], reading[reading != 0]
    return len(heard) <= len(there) and np.allclose(heard, there[: len(heard)], atol=TOLERANCE, equal_nan=True)


class _FromTheBeginning(soundfile.SoundFile):  # type: ignore[misc]
    """Seeking after each piece is what some files refuse."""

    def seekable(self) -> bool:
        return False


def _by_libsndfile(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield `[samples, channels]`: as many as libsndfile says that it has written, in memory of zeros."""
    with _FromTheBeginning(io.BytesIO(data)) as file:
        frames = 1
        while frames:
            buffer = np.zeros((4096, file.channels), np.float32)
            frames = file.buffer_read_into(buffer, "float32")
            yield buffer[:frames]


def _by_ffmpeg(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield `[samples, channels]` of each packet that can be decoded."""
    with av.open(io.BytesIO(data), "r", options={"protocol_whitelist": ""}) as container:
        for packet in container.demux(container.streams.audio[0]):
            frames: list[Any] = []
            with contextlib.suppress(av.error.FFmpegError):
                frames = packet.decode()
            for frame in frames:
                for piece in av.AudioResampler(format="flt").resample(frame):
                    samples: NDArray[Any] = piece.to_ndarray()
                    yield samples.reshape(-1, piece.layout.nb_channels)
