"""Reads the samples of audio files, for commands that play or measure them. The server does not use this module.

FFmpeg's libraries (through PyAV, the package `av`) decode the files. The length in a header does not count, and a
packet that cannot be decoded is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from asr_client._errors import InvalidAudio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_GAPS = 100


@dataclass(frozen=True)
class Sound:
    """The content of an audio file. Its blocks can be read once."""

    sampling_rate: int  # Hz
    channels: int
    blocks: Iterator["NDArray[np.int16]"]  # each `[samples, channels]`


def read(file: BinaryIO, name: str) -> Sound:
    """Open an audio file.

    Args:
        file: is seekable, and stays open.
        name: its name in errors.

    Raises:
        InvalidAudio: the file is not audio, or PyAV is not installed. The blocks raise it where they cannot go on.
    """
    try:
        import av
    except ModuleNotFoundError as missing:
        raise InvalidAudio(f"cannot read {name} here: install the package av, which decodes audio files") from missing
    try:
        # A playlist names other files and addresses. Without protocols, FFmpeg cannot open them.
        container = av.open(file, "r", options={"protocol_whitelist": ""})
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise InvalidAudio(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error
    blocks = _blocks(container, name)
    try:
        rate, first = next(blocks)
    except StopIteration:
        raise InvalidAudio(f"cannot read {name}: it holds no samples that can be decoded") from None
    return Sound(rate, first.shape[1], _of_one_kind(rate, first, blocks, name))


def _blocks(container: Any, name: str) -> "Iterator[tuple[int, NDArray[np.int16]]]":
    """Yield sampling rate and samples, as they are decoded."""
    import av

    with container:
        if not container.streams.audio or container.streams.audio[0].codec_context is None:
            raise InvalidAudio(f"cannot read {name}: it holds no audio that FFmpeg knows")
        to_int16, kind = av.AudioResampler(format="s16"), None
        try:
            for packet in _packets(container):
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    continue
                for frame in frames:
                    if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                        to_int16 = av.AudioResampler(format="s16")
                    for piece in to_int16.resample(frame):
                        samples: NDArray[Any] = piece.to_ndarray()
                        yield piece.sample_rate, samples.reshape(-1, piece.layout.nb_channels)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidAudio(f"cannot read {name} any further: {reason}") from error


def _packets(container: Any) -> Iterator[Any]:
    """Yield the packets of the first audio stream, and skip broken data between them."""
    import av

    for _ in range(_MAX_GAPS):
        try:
            yield from container.demux(audio=0)
        except (av.error.InvalidDataError, av.error.BlockingIOError):
            continue
        except IndexError:  # PyAV raises it after the last packet, if the file has begun more streams meanwhile
            pass
        return


def _of_one_kind(
    rate: int, first: "NDArray[np.int16]", blocks: "Iterator[tuple[int, NDArray[np.int16]]]", name: str
) -> "Iterator[NDArray[np.int16]]":
    yield first
    for other_rate, block in blocks:
        if (other_rate, block.shape[1]) != (rate, first.shape[1]):
            raise InvalidAudio(
                f"cannot read {name} any further: it changes from {rate} Hz and {first.shape[1]} channel(s) to "
                f"{other_rate} Hz and {block.shape[1]}"
            )
        yield block
