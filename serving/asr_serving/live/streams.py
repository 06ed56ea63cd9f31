"""The live streams under way."""

import time
from collections.abc import Callable
from typing import Protocol

from asr_contract.errors import QueueFull, SequenceError

from asr_serving.live.updates import Update

IDLE_S = 60.0  # a stream without a new piece for this long is forgotten
IDLE_WHEN_FULL_S = 10.0  # the same, if another stream needs its place


class Stream(Protocol):
    """One live stream.

    Attributes:
        touched: when its last piece came; `Streams` sets it.
    """

    touched: float

    async def take(self, data: bytes, is_last: bool, is_flush: bool = False) -> Update:
        """Return the state of the stream after its next piece.

        Args:
            data: raw samples; a piece may end anywhere, even within a sample.
            is_last: whether this is the last piece.
            is_flush: whether the segment ends with this piece: the answer has its final text. What comes later is heard
                as if the stream began there, and its times go on.

        Raises:
            AudioError: the piece is too long, or holds NaN or Inf.
            ServiceError: a model failed.
        """


class Streams:
    """The streams under way, by the id of their sequence.

    Args:
        most: how many there may be.
        clock: monotonic, in seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._streams: dict[object, Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def begin(self, key: object, stream: Stream) -> None:
        """Add a new stream; it replaces one with the same id.

        Raises:
            QueueFull: there are as many streams as there may be.
        """
        self._forget(IDLE_S)
        if key not in self._streams and len(self._streams) >= self._most:
            self._forget(IDLE_WHEN_FULL_S)
            if len(self._streams) >= self._most:
                raise QueueFull(
                    f"{self._most} live streams are under way, the most that this server takes (export --max-streams)"
                )
        stream.touched = self._clock()
        self._streams[key] = stream

    def get(self, key: object) -> Stream:
        """Return the stream to which a further piece belongs.

        Raises:
            SequenceError: there is no such stream.
        """
        stream = self._streams.get(key)
        if stream is None:
            raise SequenceError(
                f"this stream was not begun here, or not continued for {IDLE_S:g} s; begin again, with the start of a "
                "sequence"
            )
        stream.touched = self._clock()
        return stream

    def end(self, key: object) -> None:
        """Forget a stream."""
        self._streams.pop(key, None)

    def _forget(self, idle_s: float) -> None:
        now = self._clock()
        for key in [key for key, stream in self._streams.items() if now - stream.touched > idle_s]:
            del self._streams[key]
