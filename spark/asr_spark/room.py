"""Bounds the memory of the requests under way, because `concurrency` counts requests, whatever their size."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asr_client import Audio

# A request takes about five times the size of its recording: as a file, a tensor and a message.
MOST_BYTES = 128 * 2**20


class Room:
    """Room for so many bytes of recordings at a time; a larger recording gets in when it is alone. Threads share it."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Wait until there is room for so many bytes, and take it for the time of a `with` block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + size <= self._most)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()


def size_of(audio: Audio) -> int:
    """Return the bytes of a path, bytes or an array; 0 of a file that cannot be read, whose error comes later."""
    source = audio.source
    if isinstance(source, Path):
        try:
            return source.stat().st_size
        except (OSError, ValueError):
            return 0
    return memoryview(source).nbytes  # type: ignore[arg-type]
