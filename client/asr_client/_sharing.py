"""A recording for several readers at the same time, each of which reads it from its beginning."""

import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from asr_client import _audio, _counts, _uploads
from asr_client._audio import CHUNK_BYTES, Audio
from asr_client._errors import InvalidAudio

_IN_MEMORY_BYTES = 2**20  # of what can be read once; what is larger goes to a temporary file without a name


class SharedAudio:
    """A recording that is read several times.

    Paths, bytes and arrays can be. The readers of a file object take turns, each at its own place. What can be read
    once, such as a pipe, is stored first, in a temporary file that is gone with this object.

    Args:
        audio: the recording.

    Raises:
        InvalidAudio: it cannot be read, or its format is missing or contradictory.
    """

    def __init__(self, audio: Audio) -> None:
        self._audio = audio
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._start = 0
        self._is_ours = False
        path = _uploads.pipe(audio)
        if path is not None:
            with _audio.opened(path) as file:
                self._store(file)
        elif callable(getattr(audio.source, "read", None)):
            file = cast("IO[bytes]", audio.source)
            start = _uploads.position(file)
            if start is None:
                self._store(file)
            else:
                self._file, self._start = file, start

    def __enter__(self) -> "SharedAudio":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_ours and self._file is not None:
            self._file.close()

    def audio(self) -> Audio:
        """Return the recording for one more reader."""
        if self._file is None:
            return self._audio
        view = _View(self._file, self._lock, self._start, self._audio.name)
        return replace(self._audio, source=cast("IO[bytes]", view))

    def channels(self) -> int:
        """Return how many channels it has; of a file, how many it seems to have by its first bytes."""
        shape = getattr(self._audio.source, "shape", None)  # of an array
        if shape is not None:
            return int(shape[1]) if len(shape) == 2 else 1
        try:
            payload = _audio.described(self._audio, self._head)
        except InvalidAudio:  # whoever sends it says what is wrong
            return _counts.USUAL
        return payload.channels or _counts.guess(payload.data)

    def _head(self) -> bytes:
        """Return the first bytes of a path, bytes or a file object."""
        source = self.audio().source
        if isinstance(source, str | os.PathLike):
            with _audio.opened(Path(os.fsdecode(source))) as file:
                return _audio.read_chunk(file, _counts.HEAD_BYTES)
        if isinstance(source, bytes | bytearray | memoryview):
            return bytes(source[: _counts.HEAD_BYTES])
        return _audio.read_chunk(cast("IO[bytes]", source), _counts.HEAD_BYTES)

    def _store(self, file: IO[bytes]) -> None:
        _audio.described(self._audio, bytes)  # a wrong format is an error before anything is read
        self._file, self._is_ours = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES), True  # noqa: SIM115 - see __exit__
        try:
            while chunk := _audio.read_chunk(file, CHUNK_BYTES):
                self._file.write(chunk)
        except BaseException:
            self._file.close()
            raise


class _View:
    """A file object with a place of its own in a file that several read.

    Args:
        file: it can go to any place.
        lock: of the file.
        start: where the recording begins.
        name: of the recording, if it has one.
    """

    def __init__(self, file: IO[bytes], lock: threading.Lock, start: int, name: str | None) -> None:
        self._file, self._lock, self._place, self.name = file, lock, start, name

    def read(self, size: int) -> Any:
        """Return the next bytes, or whatever the file gives."""
        with self._lock:
            self._file.seek(self._place)
            data = self._file.read(size)
            self._place = self._file.tell()
        return data

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def seek(self, place: int) -> int:
        """Go to a place, and return it."""
        self._place = place
        return place
