"""Files of audio, or raw samples -> blocks of mono float32: a long recording is never whole in memory.

libsndfile (through soundfile) reads WAV, FLAC and MP3, in a fraction of a millisecond for a short clip. Ogg, and what
it does not know (M4A/AAC, WebM, AMR, WMA …), goes to FFmpeg's libraries (through PyAV). Both come as wheels: no system
package is needed.
"""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
from asr_contract.errors import AudioError
from asr_contract.parameters import MAX_CHANNELS, MAX_SAMPLING_RATE, MIN_SAMPLING_RATE
from numpy.typing import NDArray

# A file of 64 channels at 384 kHz is 1000 times what the model hears: read and downmix a piece at a time.
_BLOCK_SAMPLES = 1 << 18
# A WAV has a handful of chunks; one made of nothing but empty chunks would keep us busy for minutes.
_MAX_WAV_CHUNKS = 1_000
# Formats in which silence takes a few dozen bytes a second; the others have a lowest bit rate (MP3: 8 kbit/s).
_FEW_BYTES = frozenset(("FLAC", "CAF"))
_FEW_BYTES_PER_S, _BYTES_PER_S = 10, 500
_SLACK_S = 60.0
# libsndfile 1.2 loses 6 kB of memory with each Ogg file that it refuses, of which a few bytes are enough; and until its
# first seek it does not leave out the pre-skip of Ogg Opus (RFC 7845, 4.2).
_OGG = b"OggS"
# libsndfile steps over an ID3 tag before a WAV or an AIFF, and then leaves as many bytes unread at the end. FFmpeg does
# not read such a file at all.
_ID3 = b"ID3"
_MAX_TAGS = 8  # one of each version at most is what programs write; a file of nothing but tags would keep us busy
_TAGGED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")
# Of the energy that channels without relation to each other leave in their mean. What leaves less cancels itself out:
# a balanced line in a stereo socket has the voice in one channel and its mirror image in the other.
_CANCELLED = 0.01
SUPPORTED = "WAV, FLAC, OGG (Opus, Vorbis), MP3, M4A/AAC, WebM, AIFF, AMR, WMA, or raw PCM with its encoding"
PCM_DTYPES: dict[str, "np.dtype[Any]"] = {"pcm_s16le": np.dtype("<i2"), "pcm_f32le": np.dtype("<f4")}

# FFmpeg guesses the container by content; without a list, a text could pass for a playlist that names other files.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,ogg,flac,wav,w64,aiff,caf,asf,amr,ac3,eac3,au,avi,mpegts"

Block = tuple[NDArray[np.float32], int]  # float32 `[samples]`, see `downmix`; and the sampling rate in Hz


@dataclass(frozen=True)
class PcmFormat:
    """How raw samples are laid out."""

    encoding: str  # a key of PCM_DTYPES
    sampling_rate: int  # Hz
    channels: int  # interleaved


def blocks(file: BinaryIO, pcm: PcmFormat | None = None) -> Iterator[Block]:
    """The samples of a recording, in order; all blocks have the same rate.

    Args:
        file: a whole audio file, or raw samples when `pcm` is given; at its beginning, and can be sought in.
        pcm: the layout of raw samples; None for a file, whose header tells.

    Raises:
        AudioError: the bytes are not audio, are cut short, or have a rate or channels that nobody speaks with.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not size:
        raise AudioError(f"AUDIO is empty: 0 bytes; needs {SUPPORTED}")
    if pcm:
        return _pcm_blocks(file, size, pcm)
    skipped = _tags_before(file)
    return _file_blocks(io.BufferedReader(_Rest(file, skipped)) if skipped else file, size - skipped)


class _Rest(io.RawIOBase):
    """A file without its first bytes."""

    def __init__(self, file: BinaryIO, skipped: int) -> None:
        self._file = file
        self._skipped = skipped
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = self._skipped if whence == os.SEEK_SET else 0
        return self._file.seek(start + offset, whence) - self._skipped


def _tags_before(file: BinaryIO) -> int:
    """Return the bytes that ID3 tags take up before a WAV or an AIFF; 0 before anything else."""
    position, head = 0, file.read(10)
    for _ in range(_MAX_TAGS):
        if head[:3] != _ID3 or len(head) < 10:
            break
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        has_footer = head[5] & 0x10
        position = file.seek(position + 10 + size + (10 if has_footer else 0))
        head = file.read(10)
    file.seek(0)
    return position if head[:4] in _TAGGED else 0


def _plausible(pieces: Iterator[Block], size: int, bytes_per_s: int) -> Iterator[Block]:
    """The blocks, as long as so many bytes can hold them: libsndfile reads some broken MP3s without end."""
    seconds = 0.0
    for samples, rate in pieces:
        seconds += len(samples) / rate
        if seconds > _SLACK_S + size / bytes_per_s:
            raise AudioError(f"audio is broken: {size} bytes cannot hold {seconds:.0f} s and more")
        yield samples, rate


def _pcm_blocks(file: BinaryIO, size: int, pcm: PcmFormat) -> Iterator[Block]:
    dtype = PCM_DTYPES[pcm.encoding]
    frame_bytes = dtype.itemsize * pcm.channels
    if size % frame_bytes:
        raise AudioError(
            f"{size} bytes of {pcm.encoding} with {pcm.channels} channel(s) is not a whole number of "
            f"{frame_bytes}-byte frames: bytes are missing or the encoding is another one"
        )
    while data := file.read(max(1, _BLOCK_SAMPLES // pcm.channels) * frame_bytes):
        samples = np.frombuffer(data, dtype).reshape(-1, pcm.channels)
        if dtype.kind == "i":
            samples = samples.astype(np.float32) / np.float32(32768)
        yield downmix(samples), pcm.sampling_rate


def _file_blocks(file: BinaryIO, size: int) -> Iterator[Block]:
    if _is_for_ffmpeg(file.read(4)):
        yield from _ffmpeg_blocks(file, size, None)
        return
    file.seek(0)
    _check_wav_is_whole(file, size)
    file.seek(0)
    try:
        opened = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as refused:
        yield from _ffmpeg_blocks(file, size, refused.error_string)
        return
    with opened:
        _check_format(opened.samplerate, opened.channels)
        floor = _FEW_BYTES_PER_S if opened.format in _FEW_BYTES else _BYTES_PER_S
        frames = 0
        try:
            for piece, rate in _plausible(_sound_blocks(opened), size, floor):
                frames += len(piece)
                yield piece, rate
        except soundfile.LibsndfileError as broken:
            if frames:
                raise AudioError(f"audio is broken after {frames} samples: {broken.error_string.strip()}") from broken
            yield from _ffmpeg_blocks(file, size, broken.error_string)
            return
        if opened.format == "FLAC" and frames < opened.frames:
            raise AudioError(f"FLAC is cut short: header says {opened.frames} frames, {frames} are here")


def _is_for_ffmpeg(head: bytes) -> bool:
    """Whether libsndfile is not to be asked about a file that begins so.

    It takes two bytes for an MP3 of layer I, which hardly anybody has ever written: the mark of UTF-16 is such a pair.
    """
    return head == _OGG or (head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE6)


def _sound_blocks(opened: soundfile.SoundFile) -> Iterator[Block]:
    for piece in opened.blocks(max(1, _BLOCK_SAMPLES // opened.channels), dtype="float32", always_2d=True):
        if not len(piece):  # the header claims more, perhaps without end
            return
        yield downmix(piece), opened.samplerate


def _check_format(rate: int, channels: int) -> None:
    """Before any sample is decoded: what a header claims is what decoding costs."""
    if not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE:
        raise AudioError(f"sampling rate is {rate} Hz; needs {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz")
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"audio has {channels} channels; needs 1 to {MAX_CHANNELS}")


def downmix(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """`[frames, channels]` -> `[frames]`: the mean of the channels, or one of them where they cancel each other out."""
    channels = samples.shape[1]
    if channels == 1:
        return samples[:, 0]
    mono: NDArray[np.float32] = samples.mean(axis=1, dtype=np.float32)
    energies = np.einsum("ij,ij->j", samples, samples)
    if np.einsum("i,i", mono, mono) < _CANCELLED * energies.sum() / channels**2:
        # The first that is loud, not the loudest: which of a pair that is may change from block to block.
        return samples[:, int(np.argmax(energies >= energies.max() / 2))]
    return mono


def _check_wav_is_whole(file: BinaryIO, size: int) -> None:
    """libsndfile reads a WAV that was cut off as if it ended there; a transcript of half a recording misleads."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    position = 12
    for _ in range(_MAX_WAV_CHUNKS):
        if position + 8 > size:
            break
        file.seek(position)
        name, claimed = struct.unpack("<4sI", file.read(8))
        here = size - position - 8
        if name == b"data":
            if claimed > here:
                raise AudioError(
                    f"WAV is cut short: its header claims {claimed} bytes of samples, {here} are here "
                    "(for a WAV that was written to a pipe, send the samples with encoding=pcm_s16le)"
                )
            if claimed == 0 and here:
                raise AudioError(f"WAV claims 0 samples, {here} bytes follow: its recorder did not finish the header")
            return
        position += 8 + claimed + claimed % 2
    raise AudioError(f"WAV is cut short or broken: no samples found in its {size} bytes")


def _ffmpeg_blocks(file: BinaryIO, size: int, refused: str | None) -> Iterator[Block]:
    """By FFmpeg what libsndfile has refused, with these words; None for what it was not asked about."""
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": ""}
    file.seek(0)
    try:
        with av.open(file, "r", options=options) as container:
            if not container.streams.audio:
                raise AudioError(f"file holds no audio stream; needs {SUPPORTED}")
            tracks, best = container.streams.audio, container.streams.best("audio")
            # Of several, the one that its maker marked as the default.
            track = tracks.index(best) if best in tracks else 0
            yield from _plausible(_stream_blocks(container, track), size, _FEW_BYTES_PER_S)
    except (av.error.FFmpegError, ValueError, EOFError, OverflowError) as unreadable:
        if isinstance(unreadable, AudioError):
            raise
        file.seek(0)
        reason = refused or getattr(unreadable, "strerror", None) or str(unreadable)
        raise AudioError(
            f"cannot read this as audio: {size} bytes that start with {file.read(12)!r} ({reason.strip()}); "
            f"needs {SUPPORTED}"
        ) from unreadable


def _stream_blocks(container: "av.container.InputContainer", track: int) -> Iterator[Block]:
    # Float keeps every sample format's full range; the rate stays as it is, soxr changes it better. Interleaved: PyAV
    # reads past the end of its list of planes, and crashes, when there is one for each of more than eight channels.
    to_float = av.AudioResampler(format="flt")
    rate = 0
    for frame in container.decode(audio=track):
        _check_format(frame.sample_rate, frame.layout.nb_channels)
        for piece in to_float.resample(frame):
            if rate and piece.sample_rate != rate:
                raise AudioError(f"sampling rate changes from {rate} to {piece.sample_rate} Hz within the file")
            rate = piece.sample_rate
            samples = piece.to_ndarray().astype(np.float32, copy=False)
            yield downmix(samples.reshape(-1, piece.layout.nb_channels)), rate
