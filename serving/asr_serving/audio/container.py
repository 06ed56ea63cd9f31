"""From audio files or raw samples to blocks of mono float32: a long recording is never in memory as a whole.

This module does not trust a header's number of samples. It asks a reader for more until there is no more, and uses only
the samples that the reader says it has written. soundfile's own `blocks()` trusts the header: after a short read it
returns the whole buffer, with whatever its memory held before, even another recording.

libsndfile (through soundfile) reads WAV, FLAC, AIFF, AU, CAF …, in a fraction of a millisecond for a short clip. FFmpeg
(through PyAV) reads the formats that libsndfile does not know (M4A/AAC, WebM, AMR, WMA …), the rest of a file in which
libsndfile stops early, and these formats, which libsndfile reads badly:

- MP3: libsndfile stops where it estimates the end, which may be too early without a Xing header, and after the first of
  several concatenated MP3s. For a file with a true Xing header both readers give the same samples.
- GSM 6.10: libsndfile decodes the byte that fills up a chunk as one more block.
- Ogg: libsndfile leaks 6 kB of memory for each Ogg file that it refuses, and such a file can be a few bytes long. Until
  its first seek, it does not leave out the pre-skip of Ogg Opus (RFC 7845, 4.2).

Both come as wheels: no system package is needed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import soundfile
from asr_contract.errors import AudioError

from asr_serving.audio import ffmpeg_reader, riff, tags
from asr_serving.audio.samples import (
    ALL,
    BLOCK_SAMPLES,
    SUPPORTED,
    Block,
    Selection,
    check_format,
    check_plausible,
    without,
)

_NOT_BY_LIBSNDFILE = frozenset(("MP3", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III", "GSM610"))
# Formats in which silence takes only a few dozen bytes a second; the others have a lowest bit rate (ADPCM: 12 kbit/s).
_FEW_BYTES = frozenset(("FLAC", "CAF"))
_FEW_BYTES_PER_S, _BYTES_PER_S = 10, 500
_UNKNOWN_FRAMES = 2**63 - 1
_SHORT_FRAMES = 1 << 12
PCM_DTYPES: dict[str, "np.dtype[Any]"] = {"pcm_s16le": np.dtype("<i2"), "pcm_f32le": np.dtype("<f4")}


@dataclass(frozen=True)
class PcmFormat:
    """The layout of raw samples."""

    encoding: str  # a key of PCM_DTYPES
    sampling_rate: int  # Hz
    channels: int  # interleaved


def blocks(file: BinaryIO, pcm: PcmFormat | None = None, selection: Selection = ALL) -> Iterator[Block]:
    """Yield the samples of a recording, in order; all blocks have the same rate.

    Args:
        file: a whole audio file, or raw samples if `pcm` is given; seekable, at its beginning.
        pcm: the layout of raw samples; None for a file, whose header has it.
        selection: of its channels.

    Raises:
        AudioError: the bytes are not audio, are cut short, have a rate or channel count that speech never has, or not
            the channels that are selected.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not size:
        raise AudioError(f"AUDIO is empty: 0 bytes; needs {SUPPORTED}")
    return _pcm_blocks(file, size, pcm, selection) if pcm else _file_blocks(*tags.without(file, size), selection)


def _pcm_blocks(file: BinaryIO, size: int, pcm: PcmFormat, selection: Selection) -> Iterator[Block]:
    selection.check(pcm.channels)
    dtype = PCM_DTYPES[pcm.encoding]
    frame_bytes = dtype.itemsize * pcm.channels
    if size % frame_bytes:
        raise AudioError(
            f"{size} bytes of {pcm.encoding} with {pcm.channels} channel(s) is not a whole number of "
            f"{frame_bytes}-byte frames: bytes are missing or the encoding is wrong"
        )
    scale = 32768 if dtype.kind == "i" else 1
    while data := file.read(max(1, BLOCK_SAMPLES // pcm.channels) * frame_bytes):
        yield selection.mono(np.frombuffer(data, dtype).reshape(-1, pcm.channels), scale), pcm.sampling_rate


def _file_blocks(file: BinaryIO, size: int, selection: Selection) -> Iterator[Block]:
    if _is_for_ffmpeg(file.read(4)):
        yield from ffmpeg_reader.read(file, size, None, selection)
        return
    file = riff.of_known_length(file, size)
    file.seek(0)
    samples, refused = 0, None
    try:
        with _SoundFile(file) as opened:
            is_for_ffmpeg = bool({opened.format, opened.subtype} & _NOT_BY_LIBSNDFILE)
            if not is_for_ffmpeg:
                for piece, rate in _sound_blocks(opened, size, selection):
                    samples += len(piece)
                    yield piece, rate
                if opened.format == "FLAC" and samples < opened.frames != _UNKNOWN_FRAMES:
                    is_for_ffmpeg = True  # the file is cut short, or FFmpeg gets past a damaged place
    except soundfile.LibsndfileError as broken:
        is_for_ffmpeg, refused = True, broken.error_string
    if is_for_ffmpeg:
        yield from without(ffmpeg_reader.read(file, size, refused, selection), samples)


def _is_for_ffmpeg(head: bytes) -> bool:
    """Return whether this is Ogg, MP3 or AAC; for many MP3s libsndfile would write warnings to our log."""
    return head[:4] == b"OggS" or head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its beginning to its end.

    soundfile seeks after each piece of a seekable file; FLACs of unknown length and some codecs refuse that.
    """

    def seekable(self) -> bool:
        return False


def _sound_blocks(opened: soundfile.SoundFile, size: int, selection: Selection) -> Iterator[Block]:
    check_format(opened.samplerate, opened.channels)
    selection.check(opened.channels)
    floor = _FEW_BYTES_PER_S if opened.format in _FEW_BYTES else _BYTES_PER_S
    most = max(1, BLOCK_SAMPLES // opened.channels)
    # The header claims this number of frames; here it only keeps the buffer small. The buffer is filled with zeros.
    buffer = np.zeros((min(most, max(opened.frames, _SHORT_FRAMES)), opened.channels), np.float32)
    seconds = 0.0
    while frames := opened.buffer_read_into(buffer, "float32"):
        seconds += frames / opened.samplerate
        check_plausible(seconds, size, floor)
        yield selection.mono(buffer[:frames]), opened.samplerate
