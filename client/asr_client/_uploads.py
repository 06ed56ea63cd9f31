"""The way of a recording to the server: in one message, or in pieces to the model for long recordings.

A recording travels once. What is too large for a message, or known to be too long for the model that takes recordings
at once, goes in pieces from the start. A file object is read in its order, and what was sent is dropped.
"""

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from asr_contract import errors as contract

from asr_client import _audio, _lengths
from asr_client._audio import CHUNK_BYTES, Audio, Payload, Pieces
from asr_client._errors import AsrError, AudioTooLong, InvalidAudio, MessageTooLarge

PIECE_BYTES = 2**20
# The server refuses a recording with its first piece, if it is busy, and the client reads one piece ahead.
_KEPT_BYTES = 2 * PIECE_BYTES


@dataclass(frozen=True)
class InPieces:
    """A recording that goes to the model for long recordings."""

    pieces: Pieces
    reason: AsrError  # raised where there is no such model


def prepare(audio: Audio, max_message_bytes: int, longest_s: float | None) -> Payload | InPieces:
    """Return a recording as it travels: as a whole, if it fits a message and is not known to be too long.

    Args:
        audio: the recording. A path is read here if it fits a message; a file object or pipe as far as it fits.
        max_message_bytes: the limit of a message.
        longest_s: seconds that the model takes at once; None if that is not known, or does not matter.

    Raises:
        InvalidAudio: see `_audio.load`.
    """
    if callable(getattr(audio.source, "read", None)):
        return _from_file(audio, cast("IO[bytes]", audio.source), max_message_bytes, longest_s)
    if (path := pipe(audio)) is not None:
        return _from_pipe(audio, path, max_message_bytes, longest_s)
    try:
        payload = _audio.load(audio, max_message_bytes)
    except MessageTooLarge as error:
        return InPieces(pieces(audio), error.with_traceback(None))  # whose frames may hold the recording
    return divided(payload, longest_s)


def divided(payload: Payload, longest_s: float | None) -> Payload | InPieces:
    """Return the payload, or its pieces if it is known to be too long; see `prepare`."""
    reason = _too_long(payload.seconds(), longest_s)
    return payload if reason is None else InPieces(payload.pieces(), reason)


def pieces(audio: Audio) -> Pieces:
    """Return the pieces of a path, bytes or an array of any size.

    Raises:
        InvalidAudio: the format is missing, contradictory or not supported. To open the pieces raises it, too, where
            the path cannot be opened.
    """
    source = audio.source
    if isinstance(source, str | os.PathLike):
        path = Path(os.fsdecode(source))
        return Pieces(lambda: _audio.opened(path), _audio.described(audio, bytes).parameters())
    return _audio.load(audio, 2**63).pieces()


def pipe(audio: Audio) -> Path | None:
    """Return the path of a pipe or device: opened a second time, it would not give its beginning again."""
    if not isinstance(audio.source, str | os.PathLike):
        return None
    path = Path(os.fsdecode(audio.source))
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # `load` says what is wrong with it
        return None
    return path if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) else None


def _from_pipe(audio: Audio, path: Path, max_message_bytes: int, longest_s: float | None) -> Payload | InPieces:
    file = _audio.opened(path)
    try:
        prepared = _from_file(audio, file, max_message_bytes, longest_s, is_ours=True)
    except BaseException:
        file.close()
        raise
    if isinstance(prepared, Payload):
        file.close()
    return prepared


def _from_file(
    audio: Audio, file: IO[bytes], max_message_bytes: int, longest_s: float | None, is_ours: bool = False
) -> Payload | InPieces:
    form = _audio.described(audio, bytes)  # a wrong one is an error before anything is read
    start, limit = position(file), max_message_bytes - _audio.MESSAGE_OVERHEAD_BYTES
    head = bytearray()
    reason: AsrError | None = None
    while reason is None and (chunk := _audio.read_chunk(file, CHUNK_BYTES)):
        head += chunk
        reason = _too_long(_lengths.seconds(head, form.encoding, form.sampling_rate, form.channels), longest_s)
        if len(head) > limit:
            reason = _audio.too_large(None, max_message_bytes)
    if not head:
        raise _audio.empty(audio, start)
    if reason is None:
        return replace(form, data=bytes(head))
    source = FileSource(file, start, head, is_ours)
    return InPieces(Pieces(source.open, form.parameters(), source.obstacle), reason)


def _too_long(seconds: float, longest_s: float | None) -> AudioTooLong | None:
    if longest_s is None or seconds <= longest_s:
        return None
    why = str(contract.too_long(f"{seconds:.2f} s or more", longest_s))
    return AudioTooLong(why, limit_s=longest_s, public=why)


def position(file: IO[bytes]) -> int | None:
    """Return where a file object stands; None if it cannot return there."""
    try:
        place = file.tell()
        file.seek(place)
    except (AttributeError, OSError, ValueError):  # a pipe, a socket, an object that has only `read`
        return None
    return place


class FileSource:
    """A file object that is sent in pieces.

    It can be opened again if the file object can be rewound. If not, it can be as long as what was read is still held.

    Args:
        file: the file object.
        start: where it stood; None if it cannot be rewound.
        head: what was read of it so far, which this object takes over.
        is_ours: whether to close it at the end; the caller closes its own.
    """

    def __init__(self, file: IO[bytes], start: int | None, head: bytearray, is_ours: bool = False) -> None:
        self._file, self._start, self._is_ours = file, start, is_ours
        self._ahead = deque(_cut(head))  # comes before the rest of the file
        self._given: list[bytes] | None = []  # read by the sender; None: too much to be held
        self._is_new = True

    def obstacle(self) -> str | None:
        """Return why it cannot be opened again; None if it can be."""
        if self._start is not None or self._given is not None:
            return None
        return "its file object can be read only once; one that has seek(), or a path, can be sent again"

    def open(self) -> "FileSource":
        """Return this object at the beginning of the recording.

        Raises:
            InvalidAudio: the file object cannot be rewound.
        """
        if not self._is_new:
            self._rewind()
        self._is_new = False
        return self

    def read(self, size: int) -> bytes:
        """Return the next bytes, as many as `size` if the file has them; none at its end."""
        data = self._next(size)
        while 0 < len(data) < size and (more := self._next(size - len(data))):
            data += more
        self._hold(data)
        return data

    def __enter__(self) -> "FileSource":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file object if it is ours, and will not be read again."""
        if self._is_ours and (kind is None or self.obstacle() is not None):
            self._file.close()

    def _rewind(self) -> None:
        if self._start is not None:
            self._ahead.clear()
            try:
                self._file.seek(self._start)
            except (OSError, ValueError) as error:
                raise InvalidAudio(f"cannot read the file object again: {error}") from error
        elif self._given is not None:
            self._ahead.extendleft(reversed(self._given))
            self._given = []
        else:
            raise InvalidAudio(f"cannot send the recording again: {self.obstacle()}")

    def _next(self, size: int) -> bytes:
        if not self._ahead:
            return _audio.read_chunk(self._file, size)
        data = self._ahead.popleft()
        if len(data) > size:
            self._ahead.appendleft(data[size:])
        return data[:size]

    def _hold(self, data: bytes) -> None:
        """Hold what was read, as long as it is little, if it is the only way to read it again."""
        if self._start is None and self._given is not None:
            self._given.append(data)
            if sum(map(len, self._given)) > _KEPT_BYTES:
                self._given = None


def _cut(head: bytearray) -> Iterator[bytes]:
    """Yield the bytes in pieces, and drop them meanwhile."""
    while head:
        yield bytes(head[:PIECE_BYTES])
        del head[:PIECE_BYTES]
