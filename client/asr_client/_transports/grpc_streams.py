"""gRPC's streams that go both ways, by tritonclient: one request after the other, each answered once or more often."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable
from typing import Any

from asr_client._errors import ClientClosed, DeadlineExceeded
from asr_client._fork import Owner
from asr_client._live import OUTPUTS, Piece
from asr_client._protocol import Tensors
from asr_client._transports.base import Endpoint
from asr_client._transports.errors import our_errors


class GrpcStream:
    """One stream, on a connection of its own: a client of tritonclient has one. `close` may come from another thread.

    Args:
        client: of `tritonclient.grpc`, which this stream closes.
        endpoint: for error messages.
        headers: of the stream.
        silence_s: how long the server may say nothing; None for no limit.
        on_close: called when it is closed.
    """

    def __init__(
        self,
        client: Any,
        endpoint: Endpoint,
        headers: dict[str, str] | None,
        silence_s: float | None,
        on_close: Callable[["GrpcStream"], None],
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._silence_s = silence_s
        self._on_close = on_close
        self._owner = Owner()
        self._said: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()
        with our_errors(endpoint):
            client.start_stream(lambda result, error: self._said.put((result, error)), headers=headers)

    def send(self, arguments: dict[str, Any]) -> None:
        """Send a request: arguments of `async_stream_infer`."""
        self._owner.check("the stream")
        with our_errors(self._endpoint):
            self._client.async_stream_infer(**arguments)

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

    def cancel(self) -> None:
        """End it for a caller that waits in another thread."""
        self._said.put((None, ClientClosed(f"the connection to the {self._endpoint} is closed")))

    def close(self) -> None:
        """End it; what is under way is cancelled. A forked process leaves it to its parent."""
        if not self._owner.is_here:
            return
        self._on_close(self)
        self._client.stop_stream(cancel_requests=True)
        self._client.close()


class AsyncGrpcStream:
    """The same in an event loop, on the connection of all other requests.

    Args:
        client: of `tritonclient.grpc.aio`.
        endpoint: for error messages.
        headers: of the stream.
        silence_s: how long the server may say nothing; None for no limit.
    """

    def __init__(
        self, client: Any, endpoint: Endpoint, headers: dict[str, str] | None, silence_s: float | None
    ) -> None:
        self._endpoint = endpoint
        self._silence_s = silence_s
        self._requests: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()  # None: there are no more
        with our_errors(endpoint):
            self._stream = client.stream_infer(self._sent(), headers=headers)

    async def _sent(self) -> AsyncIterator[dict[str, Any]]:
        while (arguments := await self._requests.get()) is not None:
            yield arguments

    def send(self, arguments: dict[str, Any]) -> None:
        """Send a request: arguments of `async_stream_infer`."""
        self._requests.put_nowait(arguments)

    async def receive(self) -> Any:
        """What the server says next, a result of tritonclient."""
        with our_errors(self._endpoint):
            try:
                result, error = await asyncio.wait_for(anext(self._stream), self._silence_s)
            except TimeoutError:
                raise _silent(self._silence_s) from None
            except StopAsyncIteration:
                raise ConnectionResetError("the server ended the stream") from None
            if error is not None:
                raise error
            return result

    def close(self) -> None:
        """End it; what is under way is cancelled."""
        self._requests.put_nowait(None)  # where the call has failed already, cancelling it does not end what feeds it
        self._stream.cancel()


class LiveCall:
    """A live stream: pieces in, tensors out.

    Args:
        stream: which this call closes.
        arguments: of the request that holds a piece.
    """

    def __init__(self, stream: GrpcStream, arguments: Callable[[Piece], dict[str, Any]]) -> None:
        self._stream = stream
        self._arguments = arguments

    def ask(self, piece: Piece) -> Tensors:
        """What is known with this piece."""
        self._stream.send(self._arguments(piece))
        return _tensors(self._stream.receive())

    def close(self) -> None:
        """End it."""
        self._stream.close()


class AsyncLiveCall:
    """The same in an event loop."""

    def __init__(self, stream: AsyncGrpcStream, arguments: Callable[[Piece], dict[str, Any]]) -> None:
        self._stream = stream
        self._arguments = arguments

    async def ask(self, piece: Piece) -> Tensors:
        """What is known with this piece."""
        self._stream.send(self._arguments(piece))
        return _tensors(await self._stream.receive())

    def close(self) -> None:
        """End it."""
        self._stream.close()


def _tensors(result: Any) -> Tensors:
    return {name: result.as_numpy(name) for name in OUTPUTS}


def _silent(silence_s: float | None) -> DeadlineExceeded:
    return DeadlineExceeded(f"the server has said nothing for {silence_s or 0:g} s")
