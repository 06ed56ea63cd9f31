"""The length of a WAV, RF64 or W64: known, unknown, or more than is here.

A header is written before the samples. Where it cannot be mended afterwards, as in a pipe, its sizes are whatever the
program put there: nothing, or as much as fits. Such a file goes to its end. A header that claims another size than
is here was finished, and the file has been cut off since: libsndfile and FFmpeg would read it as if it ended there.
"""

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from asr_contract.errors import AudioError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A WAV has a handful of chunks; one made of nothing but empty chunks would keep us busy for minutes.
_MAX_CHUNKS = 1_000
# Some programs count the header in, or round up; as sound, so much is 8 ms of 16 bits at 16 kHz.
_SLACK_BYTES = 256
# "As much as fits" in 31 or 32 bits (SoX, espeak-ng: 0x7FFFF000, arecord: 0x80000000, FFmpeg: 0xFFFFFFFF), at times
# less the header; W64 has 64 bits.
_FULL = tuple(1 << bits for bits in (31, 32, 63, 64))
_FULL_SLACK = 1 << 13
_MAX_32 = 0xFFFFFFFF


@dataclass(frozen=True)
class _Layout:
    """How chunks lie in a file."""

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
# The sizes of RF64 are in its chunk ds64, first the file's, then that of the samples.
_SIZES_OF_RF64 = struct.Struct("<QQ")


def of_known_length(file: BinaryIO, size: int) -> BinaryIO:
    """Return the file, with its true sizes where its header does not know them; any other file as it is.

    Args:
        file: any file; its position does not matter, and is lost.
        size: in bytes.

    Raises:
        AudioError: it is a WAV, RF64 or W64 that was cut off, or has no samples at all.
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
    """Judge the size that is claimed for the samples, which begin at `begin`."""
    if sizes_at is not None:
        file.seek(sizes_at)
        claimed = _SIZES_OF_RF64.unpack(file.read(_SIZES_OF_RF64.size))[1]
    here = size - begin
    is_unknown = _is_full(claimed) or (claimed == 0 and not _are_chunks(file, begin, size, layout))
    if not is_unknown and claimed > here + _SLACK_BYTES:
        raise AudioError(f"WAV is cut short: its header claims {claimed} bytes of samples, {here} are here")
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
    """Whether what follows are other chunks, to the end of the file: then 0 samples are 0 samples."""
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
    """A file that is read with other bytes in a few places; it is left open.

    Args:
        file: the file as it is.
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
