"""What a server is to do for a session, in the order of the audio."""

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from asr_client import DecodeOptions, ModelInfo

from asr_gateway.realtime.settings import TurnDetection

# Of audio that waits for the server: some minutes. A caller who sends faster is not read for so long.
_MOST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Begin:
    """Hear what comes from here on so."""

    model: ModelInfo
    rate: int  # Hz
    turns: TurnDetection | None
    is_early: bool  # the caller wants text before it is final
    options: DecodeOptions


@dataclass(frozen=True)
class Push:
    """Hear some samples."""

    audio: bytes  # 16-bit PCM, little-endian, one channel; whole samples


@dataclass(frozen=True)
class Flush:
    """Give the final text of all that came since the last one."""

    is_wanted: bool = True  # False: forget it


Work = Begin | Push | Flush


class Backlog:
    """Work that waits, from the task that reads a caller's messages to the one that calls the server."""

    def __init__(self) -> None:
        self._waiting: deque[Work] = deque()
        self._bytes = 0
        self._has_work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, work: Work) -> None:
        """Add work behind all other."""
        self._waiting.append(work)
        self._has_work.set()
        self._count(_size(work))

    async def get(self) -> Work:
        """Return the next work as soon as there is some. A cancelled call loses none."""
        await self._has_work.wait()
        work = self._waiting.popleft()
        if not self._waiting:
            self._has_work.clear()
        self._count(-_size(work))
        return work

    async def get_until(self, time_s: float) -> Work | None:
        """Return the next work; None if there is none before this time of the event loop."""
        try:
            async with asyncio.timeout_at(None if math.isinf(time_s) else time_s):
                await self._has_work.wait()
        except TimeoutError:
            return None
        return await self.get()

    async def room(self) -> None:
        """Wait until little enough audio waits that more may come."""
        await self._has_room.wait()

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes < _MOST_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()


def _size(work: Work) -> int:
    return len(work.audio) if isinstance(work, Push) else 0
