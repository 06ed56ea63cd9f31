"""How long a recording is, by its first bytes and without decoding: at least so long, or as its header says.

The server finds that a recording is too long for one request when it has received all of it. A client that knows before
sends it to the model for long recordings at once. That model takes recordings of any length, so a header that is wrong
costs nothing but another division into windows.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal

Bytes = bytes | bytearray

_SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4}
_PLAIN_WAV = (1, 3, 0xFFFE)  # whole numbers, floats, and the extensible form of both
# No MP3 has more: 640 kbit/s, of the free format; the highest rate with a number of its own is 448.
_MOST_MP3_BYTES_PER_S = 80_000
_OPUS_HZ = 48_000  # of its positions, whatever the sampling rate was
_MOST_CHUNKS = 100  # that are looked at; files have less than ten
_HEADER_BYTES = 64  # enough for that of a FLAC


def seconds(
    data: Bytes, encoding: Literal["file", "pcm_s16le", "pcm_f32le"], rate: int | None, channels: int | None
) -> float:
    """Return how long a recording is, in seconds; 0.0 where its beginning does not tell.

    Args:
        data: the recording, or its beginning.
        encoding: of the bytes.
        rate: Hz, of raw samples.
        channels: of raw samples.
    """
    if encoding != "file":
        return len(data) / (_SAMPLE_BYTES[encoding] * (rate or 1) * (channels or 1))
    for place, magic, read in _FORMATS:
        if data.startswith(magic, place):
            try:
                return read(data)
            except (IndexError, ZeroDivisionError):  # it is cut off, or no such file
                return 0.0
    return 0.0


def _wav(data: Bytes) -> float:
    """Return the seconds that are there: the header may claim more, or a file from a stream nothing."""
    bytes_per_s = 0
    for name, begin, size in chunks(data):
        if name == b"fmt ":
            if little(data, begin, 2) not in _PLAIN_WAV:
                return 0.0
            bytes_per_s = little(data, begin + 4, 4) * little(data, begin + 12, 2)
        elif name == b"data":
            there = len(data) - begin
            return (min(there, size) if size else there) / bytes_per_s
    return 0.0


def chunks(data: Bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each of the first chunks of a WAV, where its content begins, and the size that it claims."""
    at = 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            return
        size = little(data, at + 4, 4)
        yield bytes(data[at : at + 4]), at + 8, size
        at += 8 + size + size % 2


def _flac(data: Bytes) -> float:
    """Return what the header claims; 0.0 if it claims nothing."""
    facts = int.from_bytes(data[18:26], "big")  # 20 bits of the rate, 3 + 5 of channels and depth, 36 of the samples
    return (facts & (2**36 - 1)) / (facts >> 44)


def _ogg(data: Bytes) -> float:
    """Return the position of the last page that has one."""
    first = 27 + data[26]  # after the header and the sizes of its segments
    if data[first : first + 8] == b"OpusHead":
        rate = _OPUS_HZ
    elif data[first : first + 7] == b"\x01vorbis":
        rate = little(data, first + 12, 4)
    else:
        return 0.0
    at = len(data)
    while (at := data.rfind(b"OggS", 0, at)) > 0:
        position = int.from_bytes(data[at + 6 : at + 14], "little", signed=True)
        if position >= 0 and at + 14 <= len(data):  # -1: no packet ends in the page
            return position / rate
    return 0.0


def _mp3(data: Bytes, begin: int = 0) -> float:
    """Return the seconds that so many bytes take at the highest rate."""
    is_mp3 = data[begin + 1] & 0xE6 in (0xE2, 0xE4, 0xE6)  # the first byte is the same in AAC
    return (len(data) - begin) / _MOST_MP3_BYTES_PER_S if is_mp3 else 0.0


def tag_end(data: Bytes) -> int:
    """Return where an ID3 tag ends, which may hold a picture."""
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _after_tag(data: Bytes) -> float:
    """Return the seconds of what follows an ID3 tag."""
    begin = tag_end(data)
    if data.startswith(b"fLaC", begin):
        return _flac(data[begin : begin + _HEADER_BYTES])
    return _mp3(data, begin) if data[begin] == 0xFF else 0.0


def _mp4(data: Bytes) -> float:
    """Return what the header of an MP4 or M4A claims; it may stand at the end of the file."""
    for name, begin in islice(_boxes(data), _MOST_CHUNKS):
        if name == b"moov" and data.startswith(b"mvhd", begin + 4):
            fields = data[begin + 8 : begin + 40]
            # Version 1 has times of 64 bits.
            scale, length = (fields[20:24], fields[24:32]) if fields[0] == 1 else (fields[12:16], fields[16:20])
            return int.from_bytes(length, "big") / int.from_bytes(scale, "big")
    return 0.0


def _boxes(data: Bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the name of each box of an MP4, and where its content begins."""
    at = 0
    while at + 8 <= len(data):
        size, begin = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:  # a longer size follows
            size, begin = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        yield bytes(data[at + 4 : at + 8]), begin
        if size < 8:  # 0: the rest of the file
            return
        at += size


def little(data: Bytes, at: int, size: int) -> int:
    """Return a number of so many bytes, of which the lowest comes first."""
    return int.from_bytes(data[at : at + size], "little")


# Where a format's first bytes stand, and which they are.
_FORMATS: tuple[tuple[int, bytes, Callable[[Bytes], float]], ...] = (
    (0, b"RIFF", _wav),
    (0, b"RF64", _wav),
    (0, b"fLaC", _flac),
    (0, b"OggS", _ogg),
    (0, b"ID3", _after_tag),
    (0, b"\xff", _mp3),
    (4, b"ftyp", _mp4),
)
