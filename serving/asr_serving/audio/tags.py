"""Removal of ID3 tags before a WAV or an AIFF.

libsndfile skips such a tag, but then leaves as many bytes unread at the end. FFmpeg cannot read such a file.
"""

import io
import os
from typing import Any, BinaryIO, cast

_ID3 = b"ID3"
_MAX_TAGS = 8  # programs write at most one of each version; a file of only tags would keep the server busy
_TAGGED = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM")


def without(file: BinaryIO, size: int) -> tuple[BinaryIO, int]:
    """Return the file without the tags before a WAV or an AIFF, and its size; return any other file unchanged.

    Args:
        file: any file, at its beginning.
        size: in bytes.
    """
    skipped = _tags_before(file)
    if not skipped:
        return file, size
    return cast("BinaryIO", io.BufferedReader(_Rest(file, skipped))), size - skipped


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
    """Return the number of bytes of ID3 tags before a WAV or an AIFF; 0 before any other content."""
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
