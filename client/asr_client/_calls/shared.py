"""What a client shares with those that `with_model` makes of it: one connection, and one state of retries."""

import asyncio
import threading
from typing import Generic, TypeVar

from asr_client import _fork
from asr_client._calls.retry import RetryState
from asr_client._options import RetryPolicy
from asr_client._transports.base import AsyncTransport, Transport

AnyTransport = TypeVar("AnyTransport", Transport, AsyncTransport)


class Shared(Generic[AnyTransport]):
    """The connection of a client, and what is known of its servers. The clients open and close it.

    Args:
        retry: when a request is sent again.
        given: a transport that takes the place of the network; None for the network.

    Attributes:
        given: likewise.
        transport: None until the first request.
        loop: the event loop that the transport of an `AsyncClient` belongs to.
        retry_state: budget and pace.
        lock: for the opening and closing of the transport.
        closing: set when the connection is closed for good.
    """

    transport: AnyTransport | None
    loop: asyncio.AbstractEventLoop | None
    retry_state: RetryState
    lock: threading.Lock
    closing: threading.Event

    def __init__(self, retry: RetryPolicy, given: AnyTransport | None) -> None:
        self.given: AnyTransport | None = given
        self._retry = retry
        self._begin()
        _fork.register(self)

    def _begin(self) -> None:
        """Reset everything: no connection, and no request under way."""
        self.transport = self.given
        self.loop = None
        self.retry_state = RetryState(self._retry)
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def after_fork(self) -> None:
        """Reset it in a forked process: the parent owns the connection, and its threads may hold a lock."""
        was_closed = self.closing.is_set()
        self._begin()
        if was_closed:
            self.closing.set()
