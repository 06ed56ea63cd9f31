"""One transport over several servers, for both clients.

A request that reaches no working server goes to the next one at once. Everything else is the client's: its retries,
their budget and its pace see one server. A stream stays where it began, because its server keeps the state of the
sequence.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from asr_client._calls.protocol import Answer, Infer, ListModels, ModelReady, Operation, Piece, Said, ServerReady
from asr_client._calls.steps import Run
from asr_client._errors import AsrError, DeadlineExceeded, ServerUnavailable
from asr_client._transports.base import AsyncStream, AsyncTransport, Endpoint, Stream, Transport
from asr_client._transports.servers import Clock, Place, Server, Servers, got_nothing

ASKING_S = 1.0  # longest wait for the answer of a server that failed before

AnyTransport = TypeVar("AnyTransport", Transport, AsyncTransport)


@dataclass(frozen=True)
class Attempt:
    """Send an operation to one server; its answer is the result."""

    server: Server
    operation: Operation[Any]
    timeout_s: float | None


Attempts = Generator[Attempt, Any, Answer]


class _Balanced(Generic[AnyTransport]):
    """The base of both transports: every request as attempts, without threads or event loops."""

    def __init__(
        self,
        endpoints: tuple[Endpoint, ...],
        open_one: Callable[[Endpoint], AnyTransport],
        clock: Clock = time.monotonic,
    ) -> None:
        self._servers = Servers(endpoints, clock)
        self._transports: list[AnyTransport] = [open_one(endpoint) for endpoint in endpoints]
        self._clock = clock

    @property
    def supports_streams(self) -> bool:
        """Return whether `open_stream` works."""
        return self._transports[0].supports_streams  # all speak the same protocol

    def _attempts(self, operation: Operation[Answer], timeout_s: float | None) -> Attempts[Answer]:
        """Send the operation to one server after the other, until one takes it; all within `timeout_s` seconds.

        A recording may take all of the time. A question is answered at once or not at all, so a server gets only its
        share of the time. Every server is asked for its models, and the answer is what all have.

        Raises:
            ServerUnavailable: no server takes it; the message has what each said.
            AsrError: the answer of the server that took it.
        """
        deadline = None if timeout_s is None else self._clock() + timeout_s
        yield from self._readiness(operation, deadline)
        is_question = not isinstance(operation, Infer)
        tried: list[Server] = []
        lists: list[tuple[str, ...]] = []
        last: AsrError | None = None
        while (place := self._servers.take(without=tried)) is not None:
            tried.append(place.server)
            try:
                among = len(self._transports) - len(tried) + 1 if is_question else 1
                answer: Answer = yield Attempt(place.server, operation, self._left_s(deadline, among))
            except AsrError as error:
                self._servers.failed(place, error)
                if not got_nothing(error) and not (is_question and isinstance(error, DeadlineExceeded)):
                    raise
                last = error
            else:
                if answer is False:  # the answer of a server that is not ready
                    continue
                self._servers.succeeded(place)
                if not isinstance(operation, ListModels):
                    return answer
                lists.append(cast("tuple[str, ...]", answer))
            finally:
                self._servers.leave(place)
        if lists:
            return cast("Answer", tuple(sorted(set.intersection(*map(set, lists)))))
        if last is None:  # all have answered, and none is ready
            return cast("Answer", False)
        if isinstance(last, DeadlineExceeded):
            raise last
        raise self._servers.none_works() from last

    def _readiness(self, operation: Operation[Any], deadline: float | None) -> Attempts[None]:
        """Ask the servers whose rest is over whether they are ready again."""
        while (server := self._servers.to_ask()) is not None:
            is_ready: bool | None = None
            left_s = self._left_s(deadline)
            try:
                is_ready = yield Attempt(
                    server, _ready_for(operation), ASKING_S if left_s is None else min(ASKING_S, left_s)
                )
            except AsrError:
                is_ready = False
            finally:
                self._servers.answered(server, is_ready)

    def _transport(self, attempt: Attempt) -> AnyTransport:
        return self._transports[attempt.server.number]

    def _left_s(self, deadline: float | None, among: int = 1) -> float | None:
        """Return the seconds until the deadline, divided among as many attempts."""
        return None if deadline is None else max((deadline - self._clock()) / among, 0.001)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(server.endpoint.address for server in self._servers.all)}>"


class BalancedTransport(_Balanced[Transport]):
    """A transport for each server. Threads may share it."""

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Send the operation to the server with the fewest requests under way, or to the next one that takes it."""
        with closing(Run(self._attempts(operation, timeout_s))) as run:
            while (attempt := run.step) is not None:
                try:
                    answer = self._transport(attempt).send(attempt.operation, attempt.timeout_s)
                except AsrError as error:
                    run.fail(error)
                else:
                    run.succeed(answer)
            return run.result

    def open_stream(self, silence_s: float | None) -> Stream:
        """Return a stream to one server; it goes to another one if that one does not take its first piece."""
        return _BalancedStream(self._servers, lambda server: self._transports[server.number].open_stream(silence_s))

    def close(self) -> None:
        """Close the connections to all servers."""
        for transport in self._transports:
            transport.close()


class AsyncBalancedTransport(_Balanced[AsyncTransport]):
    """A transport for each server, in one event loop."""

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Send the operation to the server with the fewest requests under way, or to the next one that takes it."""
        with closing(Run(self._attempts(operation, timeout_s))) as run:
            while (attempt := run.step) is not None:
                try:
                    answer = await self._transport(attempt).send(attempt.operation, attempt.timeout_s)
                except AsrError as error:
                    run.fail(error)
                else:
                    run.succeed(answer)
            return run.result

    def open_stream(self, silence_s: float | None) -> AsyncStream:
        """Return a stream to one server; it goes to another one if that one does not take its first piece."""
        return _AsyncBalancedStream(
            self._servers, lambda server: self._transports[server.number].open_stream(silence_s)
        )

    async def aclose(self) -> None:
        """Close the connections to all servers."""
        await asyncio.gather(*(transport.aclose() for transport in self._transports))


AnyStream = TypeVar("AnyStream", Stream, AsyncStream)


class _Sequence(Generic[AnyStream]):
    """The base of both streams: which server has the sequence, and what to send again to another one.

    Attributes:
        stream: to the server that has the sequence.
    """

    def __init__(self, servers: Servers, open_one: Callable[[Server], AnyStream]) -> None:
        self._servers = servers
        self._open: Callable[[Server], AnyStream] = open_one
        self.stream: AnyStream
        self._tried: list[Server] = []
        self._first: Piece | None = None  # until it is answered
        self._place: Place | None = None
        self._begin(servers.none_works())

    def _begin(self, error: AsrError) -> None:
        """Open the stream at the best server that was not tried. Raise the error if there is none."""
        self._place = self._servers.take(without=self._tried, unasked=True)
        if self._place is None:
            raise error
        self._tried.append(self._place.server)
        try:
            self.stream = self._open(self._place.server)
            if self._first is not None:
                self.stream.send(self._first)
        except BaseException:
            self._leave()
            raise

    def send(self, piece: Piece) -> None:
        """Send a piece, and do not wait."""
        if piece.is_first:
            self._first = piece
        self.stream.send(piece)

    def _heard(self) -> None:
        self._first = None
        if self._place is not None:
            self._servers.succeeded(self._place)

    def _failed(self, error: AsrError) -> ServerUnavailable:
        """Note the error, and return what to say if no other server takes the first piece.

        Raises:
            AsrError: the error itself, when no other server can continue.
        """
        if self._place is not None:
            self._servers.failed(self._place, error)
        if self._first is None or not got_nothing(error):
            raise error
        self._leave()
        return self._servers.none_works()

    def _leave(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            self._servers.leave(place)


class _BalancedStream(_Sequence[Stream]):
    """A stream to one of several servers."""

    def receive(self) -> Said:
        """Return the server's next answer."""
        while True:
            try:
                said = self.stream.receive()
            except AsrError as error:
                none_works = self._failed(error)
                self.stream.close()
                self._begin(none_works)
            else:
                self._heard()
                return said

    def close(self) -> None:
        """End the stream; the server forgets a sequence without a last piece."""
        try:
            self.stream.close()
        finally:
            self._leave()


class _AsyncBalancedStream(_Sequence[AsyncStream]):
    """A stream to one of several servers, for one event loop."""

    async def receive(self) -> Said:
        """Return the server's next answer."""
        while True:
            try:
                said = await self.stream.receive()
            except AsrError as error:
                none_works = self._failed(error)
                await self.stream.aclose()
                self._begin(none_works)
            else:
                self._heard()
                return said

    async def aclose(self) -> None:
        """End the stream; the server forgets a sequence without a last piece."""
        try:
            await self.stream.aclose()
        finally:
            self._leave()


def _ready_for(operation: Operation[Any]) -> Operation[bool]:
    """Return the question whether a server can take the operation. A model of which nobody speaks may be broken."""
    return ModelReady(operation.model, operation.version) if isinstance(operation, Infer) else ServerReady()
