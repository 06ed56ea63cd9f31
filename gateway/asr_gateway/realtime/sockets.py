"""The open sockets: how many there may be, and their end when the gateway stops."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from asr_gateway.errors import ApiError, retry_after

_CLOSING_S = 5.0  # longest time that all of them may take


class Sockets:
    """The places for sockets.

    Args:
        most: how many there may be.

    Attributes:
        under_way: how many there are.
        stopping: set when all have to end.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.under_way = 0
        self.stopping = asyncio.Event()
        self._are_closed = asyncio.Event()
        self._are_closed.set()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            ApiError: all are taken, or the gateway stops.
        """
        if self.stopping.is_set():
            raise ApiError(503, "server_unavailable", "The gateway stops.", headers=retry_after(2))
        if self.under_way >= self._most:
            raise ApiError(
                429,
                "too_many_sockets",
                f"Too many sockets at a time: {self._most} are open. Try again in a second.",
                headers=retry_after(1),
            )
        self.under_way += 1
        self._are_closed.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._are_closed.set()

    async def close(self) -> None:
        """Let all sockets end, and wait until they have."""
        self.stopping.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self._are_closed.wait()
