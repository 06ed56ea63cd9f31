"""The length of a WAV, RF64 or W64: known, unknown, or more than the file holds.

A program writes the header before the samples. If it cannot correct the header afterwards, as in a pipe, the sizes are
arbitrary: zero, or the largest that fits. Such a file is read to its end. If any other size is more than the file has,
the file was cut off later; libsndfile and FFmpeg would read it without an error.
"""

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from asr_contract.errors import AudioError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A WAV has a handful of chunks; a file of nothing but empty chunks would keep the server busy for minutes.
_MAX_CHUNKS = 1_000
# Some programs include the header in the size, or round it up; this many bytes are 8 ms of 16 bits at 16 kHz.
_SLACK_BYTES = 256
# The largest size in 31 or 32 bits (SoX, espeak-ng: 0x7FFFF000, arecord: 0x80000000, FFmpeg: 0xFFFFFFFF), sometimes
# less the header; W64 has 64 bits.
_FULL = tuple(1 << bits for bits in (31, 32, 63, 64))
_FULL_SLACK = 1 << 13
_MAX_32 = 0xFFFFFFFF


@dataclass(frozen=True)
class _Layout:
    """The layout of chunks in a file."""

    header: struct.Struct  # name and size
    size: struct.Struct
    first: int  # where the first chunk begins
    counts_header: bool  # in a chunk's size
    alignment: int  # of chunks, in bytes
    whole_at: int  # where the size of the whole file is written
    not_counted: int  # bytes of the file that this size leaves out


_RIFF = _Layout(struct.Struct("<4sI"), struct.Struct("<I"), 12, False, 2, 4, 8)
_RIFX = _Layout(struct.Struct(">4sI"), struct.Struct(">I"), 12, False, 2, 4, 8)
_W64 = _Layout(struct.Struct("<16sQ"), struct.Struct("<Q"), 40, True, 8, 16, 0)
# RF64 has its sizes in the chunk ds64: first the file's, then that of the samples.
_SIZES_OF_RF64 = struct.Struct("<QQ")


def of_known_length(file: BinaryIO, size: int) -> BinaryIO:
    """Return the file with its true sizes if its header does not know them; return any other file unchanged.

    Args:
        file: any file, at any position; the position changes.
        size: in bytes.

    Raises:
        AudioError: the file is a WAV, RF64 or W64 that was cut off, or it has no samples at all.
    """
    layout = _layout(file)
    if layout is None:
        return file
    position, sizes_at = layout.first, None
    for _ in range(_MAX_CHUNKS):
        begin = position + layout.header.size
        if begin > size:
            break
        file.seek(position)
        name, length = layout.header.unpack(file.read(layout.header.size))
        claimed = max(0, length - layout.header.size) if layout.counts_header else length
        if name == b"ds64" and begin + _SIZES_OF_RF64.size <= size:
            sizes_at = begin
        if name[:4] == b"data":
            return _to_its_end(file, size, layout, begin, claimed, sizes_at)
        position = begin + claimed + -claimed % layout.alignment
    raise AudioError(f"WAV is cut short or broken: no samples found in its {size} bytes")


def _layout(file: BinaryIO) -> _Layout | None:
    file.seek(0)
    head = file.read(28)
    if head[8:12] == b"WAVE":
        return {b"RIFF": _RIFF, b"RF64": _RIFF, b"BW64": _RIFF, b"RIFX": _RIFX}.get(head[:4])
    return _W64 if head[:4] == b"riff" and head[24:28] == b"wave" else None


def _to_its_end(file: BinaryIO, size: int, layout: _Layout, begin: int, claimed: int, sizes_at: int | None) -> BinaryIO:
    """Return the file, with its true sizes if the size claimed for the samples is unknown or a few bytes too large.

    Args:
        file: the WAV, RF64 or W64.
        size: of the file, in bytes.
        layout: of its chunks.
        begin: position of the first sample.
        claimed: bytes of samples, by the chunk's header.
        sizes_at: position of the sizes in an RF64; None for other files.

    Raises:
        AudioError: the header claims more samples than the file holds.
    """
    if sizes_at is not None:
        file.seek(sizes_at)
        claimed = _SIZES_OF_RF64.unpack(file.read(_SIZES_OF_RF64.size))[1]
    here = size - begin
    is_unknown = _is_full(claimed) or (claimed == 0 and not _are_chunks(file, begin, size, layout))
    if not is_unknown and claimed > here + _SLACK_BYTES:
        raise AudioError(f"WAV is cut short: its header claims {claimed} bytes of samples, the file has {here}")
    if claimed <= here and not is_unknown:
        return file
    if sizes_at is not None:
        return _mended(file, {sizes_at: _SIZES_OF_RF64.pack(size - layout.not_counted, here)})
    length = here + (layout.header.size if layout.counts_header else 0)
    sizes = {begin - layout.size.size: length, layout.whole_at: size - layout.not_counted}
    most = (1 << 8 * layout.size.size) - 1
    return _mended(file, {place: layout.size.pack(min(number, most)) for place, number in sizes.items()})


def _mended(file: BinaryIO, patches: dict[int, bytes]) -> BinaryIO:
    return cast("BinaryIO", _Mended(file, patches))


def _is_full(claimed: int) -> bool:
    return any(abs(claimed - full) <= _FULL_SLACK for full in _FULL)


def _are_chunks(file: BinaryIO, position: int, size: int, layout: _Layout) -> bool:
    """Return whether only other chunks follow, to the end of the file; a size of 0 samples is then true."""
    for _ in range(_MAX_CHUNKS):
        if position >= size:
            return True
        file.seek(position)
        header = file.read(layout.header.size)
        if len(header) < layout.header.size:
            return False
        name, length = layout.header.unpack(header)
        if not (name[:4].isascii() and name[:4].decode().isprintable()):
            return False
        length = max(layout.header.size, length) if layout.counts_header else length + layout.header.size
        position += length + -length % layout.alignment
    return False


class _Mended(io.RawIOBase):
    """A view of a file with other bytes in a few places; closing it leaves the original open.

    Args:
        file: the original file.
        patches: position -> bytes.
    """

    def __init__(self, file: BinaryIO, patches: dict[int, bytes]) -> None:
        self._file = file
        self._patches = patches
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        position = self._file.tell()
        data = bytearray(self._file.read(len(view)))
        for place, patch in self._patches.items():
            for at, byte in enumerate(patch, place - position):
                if 0 <= at < len(data):
                    data[at] = byte
        view[: len(data)] = data
        return len(data)
