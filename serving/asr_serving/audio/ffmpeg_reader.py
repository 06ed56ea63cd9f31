"""Blocks of samples from FFmpeg's libraries (through PyAV), which read nearly every format.

The reader leaves out a packet that it cannot decode and keeps the packets around it. So it returns what is left of a
recording that was cut off or damaged. Containers with a clock say when each packet is heard. If the clock shows a gap,
at the beginning or in between, the reader yields silence, so that words have the container's times.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np
from asr_contract.errors import AudioError
from numpy.typing import NDArray

from asr_serving.audio.samples import BLOCK_SAMPLES, SUPPORTED, Block, Selection, check_format, check_plausible

# FFmpeg guesses the container from content; without a list, it could take a text for a playlist that names other files.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,ogg,flac,wav,w64,aiff,caf,asf,amr,ac3,eac3,au,avi,mpegts"
# Bytes for a second of silence in the formats that compress it most.
_BYTES_PER_S = 10

# In the other formats FFmpeg counts packets, and also the junk between them.
_CLOCKED = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "asf", "mpegts", "ogg"))
# Their clocks may be those of a broadcast that began long before the recording.
_BROADCAST = frozenset(("mpegts", "ogg"))
# Clocks are rounded (WebM: 1 ms), and encoders begin a little before the audio (AAC: 64 ms at 16 kHz).
_JITTER_S = 0.1
# A file of a few bytes can claim any time, and silence costs as much computation as speech.
MAX_SILENCE_S = 600.0

# The reader stops at this many more broken packets than whole ones; a recording may begin in the middle of a broadcast.
_MAX_BROKEN_AT_FIRST = 100

# FFmpeg's sample formats without the letter for planar ones -> (value of zero, full scale).
_SCALES = {"u8": (128, 128.0), "s16": (0, 32768.0), "s32": (0, 2147483648.0), "flt": (0, 1.0), "dbl": (0, 1.0)}
# PyAV crashes on a frame with eight planes: it looks for the end mark of the list of planes, and a full list has none.
_MAX_PLANES = 7


@dataclass(frozen=True)
class _Piece:
    """The audio in one packet."""

    samples: NDArray[np.float32]  # `[samples]`
    rate: int  # Hz
    at_s: float | None  # time by the container's clock
    is_after_damage: bool  # the packet before it was broken


def read(file: BinaryIO, size: int, refused: str | None, selection: Selection) -> Iterator[Block]:
    """Yield the samples of the audio stream, or of the default one if there are several.

    Args:
        file: at any position.
        size: in bytes.
        refused: why libsndfile refused the file; None if it did not read the file or gave no reason.
        selection: of the channels.

    Raises:
        AudioError: the file is not audio, more of it is broken than whole, it is a FLAC that was cut short, or it does
            not have the channels that are selected.
    """
    seconds = 0.0
    try:
        options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": ""}
        with av.open(_Within(file, size), "r", options=options) as container:
            for samples, rate in _on_the_clock(container, size, selection):
                seconds += len(samples) / rate
                yield samples, rate
    except (av.error.FFmpegError, ValueError, EOFError, OverflowError) as unreadable:
        if isinstance(unreadable, AudioError):
            raise
        said = {"libsndfile": refused, "FFmpeg": getattr(unreadable, "strerror", None) or str(unreadable)}
        reasons = "; ".join(f"{reader}: {words.strip().rstrip('.')}" for reader, words in said.items() if words)
        if seconds:
            raise AudioError(f"audio is broken after {seconds:.2f} s ({reasons})") from unreadable
        file.seek(0)
        raise AudioError(
            f"cannot read this as audio: {size} bytes that start with {file.read(12)!r} ({reasons}); needs {SUPPORTED}"
        ) from unreadable


class _Within:
    """A file in which FFmpeg may seek to any position; one after the end counts as the end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.read, self.tell = file.read, file.tell
        self._file, self._size = file, size
        file.seek(0)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(min(offset, self._size), whence)


def _on_the_clock(container: "av.container.InputContainer", size: int, selection: Selection) -> Iterator[Block]:
    if not container.streams.audio:
        raise AudioError(f"file holds no audio stream; needs {SUPPORTED}")
    # The stream that is marked as the default, if there are several.
    best = container.streams.best("audio")
    stream = best if isinstance(best, av.AudioStream) else container.streams.audio[0]
    if stream.codec_context is None:
        raise AudioError(f"audio has a codec that FFmpeg does not know; needs {SUPPORTED}")
    clock = _Clock.of(container)
    rate = done = 0
    for piece in _decoded(container, stream, size, selection):
        if rate and piece.rate != rate:
            raise AudioError(f"sampling rate changes from {rate} to {piece.rate} Hz within the file")
        rate = piece.rate
        gap = clock.gap_s(piece, done / rate) if clock else 0.0
        for silence in _silence(round(gap * rate)):
            yield silence, rate
        yield piece.samples, rate
        done += round(gap * rate) + len(piece.samples)
    if container.format.name == "flac" and stream.duration and stream.time_base:
        claimed = round(stream.duration * stream.time_base * stream.rate)
        if done < claimed:
            raise AudioError(f"FLAC is cut short or damaged: its header claims {claimed} frames, the file has {done}")


class _Clock:
    """The clock of a container, in seconds; it may jump to any time, also back to its beginning.

    Args:
        begin_s: the clock's time at the beginning of the recording.
    """

    def __init__(self, begin_s: float) -> None:
        self._begin_s = begin_s
        self._silence_left_s = MAX_SILENCE_S

    @classmethod
    def of(cls, container: "av.container.InputContainer") -> "_Clock | None":
        """Return the clock of a container; None for a container without one."""
        if container.format.name not in _CLOCKED:
            return None
        is_broadcast = container.format.name in _BROADCAST
        return cls((container.start_time or 0) / av.time_base if is_broadcast else 0.0)

    def gap_s(self, piece: _Piece, done_s: float) -> float:
        """Return how many seconds of silence belong before a piece, after `done_s` seconds of the recording."""
        if piece.at_s is None:
            return 0.0
        gap = piece.at_s - self._begin_s - done_s
        if abs(gap) <= _JITTER_S and not (piece.is_after_damage and gap > 0):
            return 0.0
        if 0 < gap <= self._silence_left_s:
            self._silence_left_s -= gap
            return gap
        self._begin_s += gap
        return 0.0


def _silence(samples: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, samples, BLOCK_SAMPLES):
        yield np.zeros(min(BLOCK_SAMPLES, samples - start), np.float32)


def _decoded(
    container: "av.container.InputContainer", stream: "av.AudioStream", size: int, selection: Selection
) -> Iterator[_Piece]:
    """Yield the audio of all packets except the broken ones."""
    to_mono = _ToMono(selection)
    whole = broken = 0
    seconds, is_after_damage = 0.0, False
    damage: av.error.FFmpegError | None = None
    for packet in _packets(container, stream):
        try:
            if isinstance(packet, av.error.FFmpegError):
                raise packet
            frames = packet.decode()
        except av.error.FFmpegError as undecodable:
            damage, is_after_damage = undecodable, True
            broken += 1
            if broken > whole + _MAX_BROKEN_AT_FIRST:
                break
            continue
        whole += bool(frames)
        for frame in frames:
            check_format(frame.sample_rate, frame.layout.nb_channels)
            mono = to_mono(frame)
            seconds += len(mono) / frame.sample_rate
            check_plausible(seconds, size, _BYTES_PER_S)
            yield _Piece(mono, frame.sample_rate, frame.time, is_after_damage)
            is_after_damage = False
    if damage and not whole:
        raise damage
    if broken > whole:
        raise AudioError(f"audio is broken: {broken} packets of it cannot be decoded, {whole} can")


def _packets(container: "av.container.InputContainer", stream: "av.AudioStream") -> Iterator[Any]:
    """Yield packets, and an error for bytes that belong to none; raise an error that FFmpeg cannot get past."""
    while True:
        try:
            yield from container.demux(stream)
        except (av.error.InvalidDataError, av.error.BlockingIOError) as damage:
            yield damage
            continue
        except IndexError:
            # After all packets, PyAV looks up a stream that it does not know, if one begins later in the file.
            pass
        return


class _ToMono:
    """Turns frames of any sample format into float32 `[samples]`: one channel, or all, see `Selection`."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._channels = 0  # of the first frame
        self._resampler: av.AudioResampler | None = None
        self._kind: tuple[object, ...] = ()

    def __call__(self, frame: "av.AudioFrame") -> NDArray[np.float32]:
        channels = frame.layout.nb_channels
        self._check(channels)
        kind = frame.format.name.removesuffix("p")
        if kind not in _SCALES or (frame.format.is_planar and channels > _MAX_PLANES):
            frame, kind = self._interleaved(frame), "flt"
        samples: NDArray[Any] = frame.to_ndarray()  # `[channels, samples]`, or interleaved `[1, channels * samples]`
        by_channel = samples.T if frame.format.is_planar else samples.reshape(-1, channels)
        zero, scale = _SCALES[kind]
        return self._selection.mono(by_channel.astype(np.float32) - zero if zero else by_channel, scale)

    def _check(self, channels: int) -> None:
        """Raise an error if the channels are not those that are selected; all frames must have the same, then."""
        if not self._channels:
            self._selection.check(channels)
            self._channels = channels
        if self._selection.channel is not None and channels != self._channels:
            raise AudioError(
                f"the number of channels changes from {self._channels} to {channels} within the file: they cannot be "
                "heard one by one"
            )

    def _interleaved(self, frame: "av.AudioFrame") -> "av.AudioFrame":
        """Return the frame as interleaved float32 at the same rate: soxr resamples better."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind:
            self._resampler, self._kind = av.AudioResampler(format="flt"), kind
        (converted,) = self._resampler.resample(frame)
        return converted
