"""gRPC's two-way streams, on tritonclient: one request after the other, each with one or more answers.

A stream holds one sequence: a live stream, or the pieces of a long recording. A sequence without its last piece would
keep its place at the server until it has been idle for long, and others might get no place. So `close` tells the server
to forget the sequence, and waits a moment until it has.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from tritonclient.utils import InferenceServerException

from asr_client._calls.protocol import Piece, Said
from asr_client._errors import ClientClosed, DeadlineExceeded
from asr_client._fork import Owner
from asr_client._transports.base import Endpoint
from asr_client._transports.errors import our_errors
from asr_client._transports.triton import Calls

CLOSING_S = 5.0  # longest wait until the server has forgotten a sequence


class _Ledger:
    """Counts the pieces of a stream that are under way.

    Attributes:
        last: the last piece that was sent.
        unanswered: number of pieces without their last answer.
    """

    def __init__(self) -> None:
        self.last: Piece | None = None
        self.unanswered = 0

    def sent(self, piece: Piece) -> None:
        """Note that a piece was sent."""
        self.last = piece
        self.unanswered += 1

    def heard(self, said: Said | None, error: Exception | None) -> None:
        """Note an answer or an error: an error within the stream ends one piece, an error of the stream ends all."""
        if said is not None:
            self.unanswered -= said.is_final
        else:
            self.unanswered = 0 if _ends_all(error) else self.unanswered - 1

    def farewell(self) -> Piece | None:
        """Return the piece that gives the sequence up; None if it has ended, or was never begun."""
        return None if self.last is None or self.last.is_last else self.last.farewell()


class GrpcStream:
    """One stream, on its own connection: a client of tritonclient holds only one. Another thread may close it.

    Args:
        client: of `tritonclient.grpc`; the stream closes it.
        endpoint: for error messages.
        calls: makes the requests.
        silence_s: longest time without an answer of the server; None: no limit.
        on_close: called when the stream is closed.
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
        self._answers: queue.SimpleQueue[Said | Exception] = queue.SimpleQueue()
        self._changed = threading.Condition()  # of the two attributes below
        self._ledger = _Ledger()
        self._is_closed = False
        with our_errors(endpoint):
            client.start_stream(self._hear, headers=calls.headers)

    def send(self, piece: Piece) -> None:
        """Send a piece, and do not wait. Where the stream is broken already, `receive` says why."""
        self._owner.check("the stream")
        if self._is_closed:
            raise _closed(self._endpoint)
        with contextlib.suppress(InferenceServerException):
            self._send(piece)

    def _send(self, piece: Piece) -> None:
        with self._changed:
            self._client.async_stream_infer(**self._calls.piece(piece))
            self._ledger.sent(piece)

    def _hear(self, result: Any, error: Exception | None) -> None:
        """Take an answer or an error; a thread of tritonclient calls it."""
        with self._changed:
            said = None if self._ledger.last is None or error else self._calls.said(self._ledger.last, result)
            self._ledger.heard(said, error)
            self._changed.notify_all()
        self._answers.put(said or error or _closed(self._endpoint))

    def receive(self) -> Said:
        """Return the server's next answer."""
        self._owner.check("the stream")
        with our_errors(self._endpoint):
            try:
                answer = self._answers.get(timeout=self._silence_s)
            except queue.Empty:
                raise _silent(self._silence_s) from None
            if isinstance(answer, Exception):
                if _ends_all(answer):
                    self._answers.put(answer)  # whoever asks again gets the same error
                raise answer
            return answer

    def close(self) -> None:
        """End the stream, and cancel what is under way. A forked process leaves the stream to its parent."""
        if not self._owner.is_here:
            return
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
        self._answers.put(_closed(self._endpoint))  # for a caller that waits in another thread
        try:
            self._discard()
        finally:
            self._on_close(self)
            self._client.stop_stream(cancel_requests=True)
            self._client.close()

    def _discard(self) -> None:
        if (farewell := self._ledger.farewell()) is None:
            return
        with contextlib.suppress(InferenceServerException):  # a broken stream, which the server has noticed as well
            self._send(farewell)
            with self._changed:
                self._changed.wait_for(lambda: self._ledger.unanswered <= 0, _closing_s(self._silence_s))


class AsyncGrpcStream:
    """One stream in an event loop, on the connection that all other requests use.

    Args:
        client: of `tritonclient.grpc.aio`.
        endpoint: for error messages.
        calls: makes the requests.
        silence_s: longest time without an answer of the server; None: no limit.
        on_close: called when the stream is closed.
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
        self._pieces: asyncio.Queue[Piece | None] = asyncio.Queue()  # None: there are no more
        self._answers: asyncio.Queue[Said | Exception] = asyncio.Queue()
        self._ledger = _Ledger()
        self._all_answered = asyncio.Event()
        self._is_closed = False
        with our_errors(endpoint):
            self._stream = client.stream_infer(self._sent(), headers=calls.headers)
        # A task of its own reads: a caller cancelled while gRPC reads would cancel the stream, and could not end it.
        self._reading = asyncio.create_task(self._read())

    async def _sent(self) -> AsyncIterator[dict[str, Any]]:
        while (piece := await self._pieces.get()) is not None:
            yield self._calls.piece(piece)

    async def _read(self) -> None:
        end: Exception = ConnectionResetError("the server ended the stream")
        try:
            async for result, error in self._stream:
                self._hear(result, error)
        except Exception as error:  # noqa: BLE001 - the waiting caller gets it
            end = error
        finally:
            self._hear(None, end)

    def _hear(self, result: Any, error: Exception | None) -> None:
        said = None if self._ledger.last is None or error else self._calls.said(self._ledger.last, result)
        self._ledger.heard(said, error)
        if self._ledger.unanswered <= 0:
            self._all_answered.set()
        self._answers.put_nowait(said or error or _closed(self._endpoint))

    def send(self, piece: Piece) -> None:
        """Send a piece, and do not wait."""
        if self._is_closed:
            raise _closed(self._endpoint)
        self._send(piece)

    def _send(self, piece: Piece) -> None:
        self._pieces.put_nowait(piece)
        self._ledger.sent(piece)
        self._all_answered.clear()

    async def receive(self) -> Said:
        """Return the server's next answer."""
        with our_errors(self._endpoint):
            try:
                async with asyncio.timeout(self._silence_s):  # Python 3.11's wait_for swallows cancellations
                    answer = await self._answers.get()
            except TimeoutError:
                raise _silent(self._silence_s) from None
            if isinstance(answer, Exception):
                raise answer
            return answer

    async def aclose(self) -> None:
        """End the stream, and cancel what is under way."""
        if self._is_closed:
            return
        self._is_closed = True
        self._answers.put_nowait(_closed(self._endpoint))  # for another task that waits
        try:
            await self._discard()
        finally:
            self._on_close(self)
            self._pieces.put_nowait(None)  # ends `_sent`, which `cancel` does not end after a failed call
            self._stream.cancel()
            self._reading.cancel()

    async def _discard(self) -> None:
        if (farewell := self._ledger.farewell()) is None or self._reading.done():
            return
        self._send(farewell)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_closing_s(self._silence_s)):
                await self._all_answered.wait()


def _ends_all(error: Exception | None) -> bool:
    """Return whether the error is one of the stream, and not of a piece within it."""
    return not isinstance(error, InferenceServerException) or error.status() is not None


def _closing_s(silence_s: float | None) -> float:
    return CLOSING_S if silence_s is None else min(CLOSING_S, silence_s)


def _closed(endpoint: Endpoint) -> ClientClosed:
    return ClientClosed(f"the connection to the {endpoint} is closed")


def _silent(silence_s: float | None) -> DeadlineExceeded:
    return DeadlineExceeded.for_anybody(f"the server has said nothing for {silence_s or 0:g} s")
