"""The content of a broken file, read without the server, to find transcripts that are not the file's own.

`own` runs in a process other than the server. The kit's reader, from the served repository, gives the samples that the
server must hear. FFmpeg and libsndfile read the file, too, without the kit's code. One of these readings must begin
with the same samples, apart from the silence that the kit inserts where a container's clock has a gap.
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
    """The content of a file."""

    samples: NDArray[np.float32]  # `[samples]`
    sampling_rate: int  # Hz
    is_decodable: bool  # another reader gives the same


def use(repository: Path) -> None:
    """Make this process read as the served repository does; call it once."""
    sys.path.insert(0, str(repository / "preprocess" / "1"))


def own(data: bytes) -> Own | None:
    """Return the content of a file; None if the kit's reader refuses it."""
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
    """Yield the samples that libsndfile reads, then those that FFmpeg reads, mono, up to the first error."""
    for reader in (_by_libsndfile, _by_ffmpeg):
        parts = [np.zeros(0, np.float32)]
        with contextlib.suppress(soundfile.LibsndfileError, av.error.FFmpegError, ValueError, EOFError, IndexError):
            for part in reader(data):
                parts.append(part.mean(axis=1, dtype=np.float32))
        yield np.concatenate(parts)


def begins(samples: NDArray[np.float32], reading: NDArray[np.float32]) -> bool:
    """Return whether a reading begins with these samples, not counting silence."""
    heard, there = samples[samples != 0], reading[reading != 0]
    return len(heard) <= len(there) and np.allclose(heard, there[: len(heard)], atol=TOLERANCE, equal_nan=True)


class _FromTheBeginning(soundfile.SoundFile):  # type: ignore[misc]
    """A file without seeking, because some files refuse to seek after each piece."""

    def seekable(self) -> bool:
        return False


def _by_libsndfile(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield `[samples, channels]`: only as many samples as libsndfile reports, from a buffer that began as zeros."""
    with _FromTheBeginning(io.BytesIO(data)) as file:
        frames = 1
        while frames:
            buffer = np.zeros((4096, file.channels), np.float32)
            frames = file.buffer_read_into(buffer, "float32")
            yield buffer[:frames]


def _by_ffmpeg(data: bytes) -> Iterator[NDArray[np.float32]]:
    """Yield `[samples, channels]` of each packet that FFmpeg can decode."""
    with av.open(io.BytesIO(data), "r", options={"protocol_whitelist": ""}) as container:
        for packet in container.demux(container.streams.audio[0]):
            frames: list[Any] = []
            with contextlib.suppress(av.error.FFmpegError):
                frames = packet.decode()
            for frame in frames:
                for piece in av.AudioResampler(format="flt").resample(frame):
                    samples: NDArray[Any] = piece.to_ndarray()
                    yield samples.reshape(-1, piece.layout.nb_channels)
