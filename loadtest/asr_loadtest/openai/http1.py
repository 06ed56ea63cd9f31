"""HTTP/1.1 for a load generator: requests of a known length, whole answers, connections that are used again.

A generator has to be cheap, for what it takes is load beside the one that it measures. A library for everything that
HTTP has, such as aiohttp, takes three times the processor time of this module (docs/decisions/0087).
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import cast

import httptools

Answer = tuple[int, bytes]  # status and body

_MOST_ANSWER_BYTES = 64 * 2**20  # with its head; the transcript of an hour has a hundredth of it
# Many services close a connection that was idle for 5 s. A request that meets this would fail.
_IDLE_S = 4.0
_LENGTHS = (b"content-length", b"transfer-encoding")


class Broken(ConnectionError):
    """The connection ended, or brought what is no answer."""


class Connection(asyncio.Protocol):
    """A connection, for one request at a time. Its protocol's methods are asyncio's and httptools' to call.

    Attributes:
        is_free: whether it can take a request.
        idle_since: when it gave its last answer, in the loop's time.
    """

    def __init__(self) -> None:
        self.is_free = True
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser: httptools.HttpResponseParser
        self._answer: asyncio.Future[Answer] | None = None  # while a request waits for it
        self._body: list[bytes] = []
        self._received = 0  # bytes of the answer
        self._has_length = False  # it tells where it ends
        self._ends_with_connection = False

    async def ask(self, parts: Sequence[bytes]) -> Answer:
        """Send a request, whose bytes come in parts, and return the answer.

        Raises:
            Broken: there is none.
        """
        if self._transport.is_closing():  # since it opened
            raise Broken("it ended before the request was sent")
        self.is_free = False
        self._answer = self._loop.create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._body, self._received = [], 0
        self._has_length = self._ends_with_connection = False
        self._transport.writelines(parts)
        try:
            return await self._answer
        finally:
            self._answer = None
            if not self.is_free:
                self._transport.abort()

    def close(self) -> None:
        """Close the connection."""
        self.is_free = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read a piece of the answer."""
        if self._answer is None:  # nobody has asked
            self.close()
            return
        self._received += len(data)
        if self._received > _MOST_ANSWER_BYTES:
            self._fail(f"the answer has more than {_MOST_ANSWER_BYTES} bytes")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the answer is not HTTP/1.1: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        """End the answer, if its end is that of the connection."""
        if self._ends_with_connection and error is None:
            self.is_free = False
            self._succeed()
        else:
            self._fail(str(error or "it ended before the answer did"))

    def on_message_begin(self) -> None:
        """Note that there is more than the answer, which nobody may take for the next one."""
        self.is_free = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note whether the answer tells where it ends."""
        self._has_length = self._has_length or name.lower() in _LENGTHS

    def on_headers_complete(self) -> None:
        """Note whether the end of the connection is the end of the answer."""
        self._ends_with_connection = not self._has_length

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it only says that there will be one."""
        if self._has_answered():
            return
        if self._parser.get_status_code() < 200:
            self._ends_with_connection = self._has_length = False
            return
        # An answer may come before its request has been sent: then it is a refusal.
        self.is_free = self._parser.should_keep_alive() and not self._transport.get_write_buffer_size()
        self._succeed()

    def _has_answered(self) -> bool:
        return self._answer is None or self._answer.done()

    def _succeed(self) -> None:
        self.idle_since = self._loop.time()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))

    def _fail(self, why: str) -> None:
        self.is_free = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Broken(why))


class Pool:
    """Connections to a service, as many as requests are under way, in the running event loop.

    Args:
        host: name or address.
        port: of the service.
        tls: of an encrypted connection.
        connecting_s: longest time in which a connection may open.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, connecting_s: float) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._connecting_s = connecting_s
        self._idle: list[Connection] = []  # the last one is that of the newest answer

    async def ask(self, parts: Sequence[bytes]) -> Answer:
        """Send a request on a connection that has nothing else to do, and return the answer.

        Raises:
            OSError: no connection opens.
            Broken: it opens, and brings no answer.
        """
        connection = self._taken() or await self._opened()
        answer = await connection.ask(parts)
        if connection.is_free:
            self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the connections that are idle; requests under way are for their callers to cancel."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _taken(self) -> Connection | None:
        loop = asyncio.get_running_loop()
        while self._idle:
            if loop.time() - self._idle[-1].idle_since > _IDLE_S:
                self.close()
            elif (connection := self._idle.pop()).is_free:
                return connection
        return None

    async def _opened(self) -> Connection:
        try:
            async with asyncio.timeout(self._connecting_s):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, self._host, self._port, ssl=self._tls
                )
        except TimeoutError as error:
            raise OSError(f"no connection opened within {self._connecting_s:g} s") from error
        return connection
