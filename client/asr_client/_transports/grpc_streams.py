"""gRPC's streams that go both ways, by tritonclient: one request after the other, each answered once or more often.

A stream holds one sequence: a live stream, or the pieces of a long recording. One that is closed before its last piece
keeps its place at the server, so that with enough of them nobody else gets one, until they have been idle for long. So
closing tells the server to forget it, and waits a moment until it has.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from asr_client._errors import AsrError, ClientClosed, DeadlineExceeded, StreamLost
from asr_client._fork import Owner
from asr_client._live import OUTPUTS, Piece
from asr_client._protocol import Tensors
from asr_client._transports.base import Endpoint
from asr_client._transports.errors import our_errors
from asr_client._transports.triton import Calls, is_final

CLOSING_S = 5.0  # that the server may take to forget a sequence


class GrpcStream:
    """One stream, on a connection of its own: a client of tritonclient has one. `close` may come from another thread.

    Args:
        client: of `tritonclient.grpc`, which this stream closes.
        endpoint: for error messages.
        calls: which make the requests.
        silence_s: how long the server may say nothing; None for no limit.
        on_close: called when it is closed.
    """

    def __init__(
        self,
        client: Any,
        endpoint: Endpoint,
        calls: Calls,
        silence_s: float | None,
        on_close: Callable[["GrpcStream"], None],
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._calls = calls
        self._silence_s = silence_s
        self._on_close = on_close
        self._owner = Owner()
        self._said: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        self._changed = threading.Condition()  # what follows has
        self._last: dict[str, Any] | None = None  # request
        self._unanswered = 0  # requests
        self._is_closed = False
        with our_errors(endpoint):
            client.start_stream(self._hear, headers=calls.headers)

    def send(self, arguments: dict[str, Any]) -> None:
        """Send a request: arguments of `async_stream_infer`."""
        self._owner.check("the stream")
        if self._is_closed:
            raise _closed(self._endpoint)
        self._send(arguments)

    def _send(self, arguments: dict[str, Any]) -> None:
        with our_errors(self._endpoint), self._changed:
            self._client.async_stream_infer(**arguments)
            self._last = arguments
            self._unanswered += 1

    def _hear(self, result: Any, error: Any) -> None:
        """Take what the server says; called in a thread of tritonclient."""
        with self._changed:
            self._unanswered = _left(self._unanswered, result, error)
            self._changed.notify_all()
        self._said.put((result, error))

    def receive(self) -> Any:
        """What the server says next, a result of tritonclient."""
        self._owner.check("the stream")
        with our_errors(self._endpoint):
            try:
                result, error = self._said.get(timeout=self._silence_s)
            except queue.Empty:
                raise _silent(self._silence_s) from None
            if error is not None:
                raise error
            return result

    def close(self) -> None:
        """End it; what is under way is cancelled. A forked process leaves it to its parent."""
        if not self._owner.is_here:
            return
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
        self._said.put((None, _closed(self._endpoint)))  # for a caller that waits in another thread
        try:
            self._discard()
        finally:
            self._on_close(self)
            self._client.stop_stream(cancel_requests=True)
            self._client.close()

    def _discard(self) -> None:
        if self._last is None or self._last["sequence_end"]:
            return
        with contextlib.suppress(AsrError):  # a broken stream, which the server has noticed as well
            self._send(self._calls.discard(self._last))
            with self._changed:
                self._changed.wait_for(lambda: self._unanswered <= 0, _closing_s(self._silence_s))


class AsyncGrpcStream:
    """The same in an event loop, on the connection of all other requests.

    Args:
        client: of `tritonclient.grpc.aio`.
        endpoint: for error messages.
        calls: which make the requests.
        silence_s: how long the server may say nothing; None for no limit.
        on_close: called when it is closed.
    """

    def __init__(
        self,
        client: Any,
        endpoint: Endpoint,
        calls: Calls,
        silence_s: float | None,
        on_close: Callable[["AsyncGrpcStream"], None],
    ) -> None:
        self._endpoint = endpoint
        self._calls = calls
        self._silence_s = silence_s
        self._on_close = on_close
        self._requests: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()  # None: there are no more
        self._said: asyncio.Queue[tuple[Any, Exception | None]] = asyncio.Queue()
        self._last: dict[str, Any] | None = None  # request
        self._unanswered = 0  # requests
        self._all_answered = asyncio.Event()
        self._is_closed = False
        with our_errors(endpoint):
            self._stream = client.stream_infer(self._sent(), headers=calls.headers)
        # In a task of its own: whoever is cancelled while gRPC reads cancels the stream, and could not end it any more.
        self._reading = asyncio.create_task(self._read())

    async def _sent(self) -> AsyncIterator[dict[str, Any]]:
        while (arguments := await self._requests.get()) is not None:
            yield arguments

    async def _read(self) -> None:
        end: Exception = ConnectionResetError("the server ended the stream")
        try:
            async for result, error in self._stream:
                self._hear(result, error)
        except Exception as error:  # noqa: BLE001 - the caller's, who waits for it
            end = error
        finally:
            self._unanswered = 0
            self._hear(None, end)

    def _hear(self, result: Any, error: Any) -> None:
        self._unanswered = _left(self._unanswered, result, error)
        if self._unanswered <= 0:
            self._all_answered.set()
        self._said.put_nowait((result, error))

    def send(self, arguments: dict[str, Any]) -> None:
        """Send a request: arguments of `async_stream_infer`."""
        if self._is_closed:
            raise _closed(self._endpoint)
        self._send(arguments)

    def _send(self, arguments: dict[str, Any]) -> None:
        self._requests.put_nowait(arguments)
        self._last = arguments
        self._unanswered += 1
        self._all_answered.clear()

    async def receive(self) -> Any:
        """What the server says next, a result of tritonclient."""
        with our_errors(self._endpoint):
            try:
                async with asyncio.timeout(self._silence_s):  # Python 3.11's wait_for swallows cancellations
                    result, error = await self._said.get()
            except TimeoutError:
                raise _silent(self._silence_s) from None
            if error is not None:
                raise error
            return result

    async def aclose(self) -> None:
        """End it; what is under way is cancelled."""
        if self._is_closed:
            return
        self._is_closed = True
        self._said.put_nowait((None, _closed(self._endpoint)))  # for another task that waits
        try:
            await self._discard()
        finally:
            self._on_close(self)
            self._requests.put_nowait(None)  # where the call has failed already, cancelling does not end what feeds it
            self._stream.cancel()
            self._reading.cancel()

    async def _discard(self) -> None:
        if self._last is None or self._last["sequence_end"] or self._reading.done():
            return
        self._send(self._calls.discard(self._last))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_closing_s(self._silence_s)):
                await self._all_answered.wait()


class _Idle:
    """How long nothing was sent."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def end(self) -> float:
        """Seconds since the last end, or since the beginning."""
        before_s, self._last_s = self._last_s, time.monotonic()
        return self._last_s - before_s


class LiveCall:
    """A live stream: pieces in, tensors out.

    Args:
        stream: which this call closes.
        arguments: of the request that holds a piece.
    """

    def __init__(self, stream: GrpcStream, arguments: Callable[[Piece], dict[str, Any]]) -> None:
        self._stream = stream
        self._arguments = arguments
        self._idle = _Idle()

    def ask(self, piece: Piece) -> Tensors:
        """What is known with this piece."""
        idle_s = self._idle.end()
        self._stream.send(self._arguments(piece))
        try:
            return _tensors(self._stream.receive())
        except StreamLost as lost:
            raise _lost(lost, idle_s) from lost.__cause__

    def close(self) -> None:
        """End it; the server forgets what was not ended by a last piece."""
        self._stream.close()


class AsyncLiveCall:
    """The same in an event loop."""

    def __init__(self, stream: AsyncGrpcStream, arguments: Callable[[Piece], dict[str, Any]]) -> None:
        self._stream = stream
        self._arguments = arguments
        self._idle = _Idle()

    async def ask(self, piece: Piece) -> Tensors:
        """What is known with this piece."""
        idle_s = self._idle.end()
        self._stream.send(self._arguments(piece))
        try:
            return _tensors(await self._stream.receive())
        except StreamLost as lost:
            raise _lost(lost, idle_s) from lost.__cause__

    async def aclose(self) -> None:
        """End it; the server forgets what was not ended by a last piece."""
        await self._stream.aclose()


def _tensors(result: Any) -> Tensors:
    return {name: result.as_numpy(name) for name in OUTPUTS}


def _left(unanswered: int, result: Any, error: Any) -> int:
    """How many requests wait for their last answer, after this one."""
    if error is None:
        return unanswered - is_final(result)
    is_of_the_stream = not hasattr(error, "status") or error.status() is not None
    return 0 if is_of_the_stream else unanswered - 1  # an error within the stream answers one request


def _closing_s(silence_s: float | None) -> float:
    return CLOSING_S if silence_s is None else min(CLOSING_S, silence_s)


def _closed(endpoint: Endpoint) -> ClientClosed:
    return ClientClosed(f"the connection to the {endpoint} is closed")


def _lost(error: StreamLost, idle_s: float) -> StreamLost:
    return StreamLost(
        f"{error}. Nothing was sent for {idle_s:.0f} s: begin a new stream, and send silence while nobody speaks"
    )


def _silent(silence_s: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(f"the server has said nothing for {silence_s or 0:g} s")
