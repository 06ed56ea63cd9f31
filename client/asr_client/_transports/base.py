"""The interface of a transport."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from asr_client import _options
from asr_client._calls.protocol import Answer, Operation, Piece, Said
from asr_client._errors import InvalidOption

# A busy server takes connections all the same, and where nobody is at an address, the system tries for minutes. (gRPC
# gives up after a second or two.)
CONNECTING_S = 10.0


@dataclass(frozen=True)
class Endpoint:
    """The server's address, and how to connect to it."""

    address: str  # HOST:PORT
    protocol: _options.Protocol
    tls: _options.Tls | None
    headers: Mapping[str, str]  # sent with every request
    max_message_bytes: int  # in either direction
    connecting_s: float = CONNECTING_S  # longest time to connect; over gRPC, attempts are that frequent at least

    def __str__(self) -> str:
        return f"{_options.PROTOCOLS[self.protocol].name} server at {self.address}"


class Stream(Protocol):
    """A two-way stream for the pieces of one sequence."""

    def send(self, piece: Piece) -> None:
        """Send a piece, and do not wait; raises AsrError only."""

    def receive(self) -> Said:
        """Return the server's next answer; raises AsrError only."""

    def close(self) -> None:
        """End the stream; the server forgets a sequence without a last piece."""


class AsyncStream(Protocol):
    """A `Stream` for one event loop."""

    def send(self, piece: Piece) -> None:
        """Send a piece, and do not wait; raises AsrError only."""

    async def receive(self) -> Said:
        """Return the server's next answer; raises AsrError only."""

    async def aclose(self) -> None:
        """End the stream; the server forgets a sequence without a last piece."""


class Transport(Protocol):
    """Sends operations to a server. Threads may share it."""

    @property
    def supports_streams(self) -> bool:
        """Return whether `open_stream` works."""

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt of `timeout_s` seconds (None: no limit); raises AsrError only."""

    def open_stream(self, silence_s: float | None) -> Stream:
        """Return a stream; `silence_s` is the longest time without an answer of the server (None: no limit)."""

    def close(self) -> None:
        """Close the connections; requests under way fail, and the client reports them as ClientClosed."""


class AsyncTransport(Protocol):
    """A `Transport` for one event loop."""

    @property
    def supports_streams(self) -> bool:
        """Return whether `open_stream` works."""

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt of `timeout_s` seconds (None: no limit); raises AsrError only."""

    def open_stream(self, silence_s: float | None) -> AsyncStream:
        """Return a stream; `silence_s` is the longest time without an answer of the server (None: no limit)."""

    async def aclose(self) -> None:
        """Close the connections; requests under way fail, and the client reports them as ClientClosed."""


def no_streams(kind: str) -> InvalidOption:
    """Return the error of a transport that does not support streams."""
    return InvalidOption(f"live streams need protocol='grpc'; {kind} has no two-way streams")
