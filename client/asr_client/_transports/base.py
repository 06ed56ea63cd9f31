"""What a transport is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from asr_client import _options
from asr_client._calls.protocol import Answer, Operation, Piece, Said
from asr_client._errors import InvalidOption


@dataclass(frozen=True)
class Endpoint:
    """Where the server is and how to talk to it."""

    address: str  # HOST:PORT
    protocol: _options.Protocol
    tls: _options.Tls | None
    headers: Mapping[str, str]  # sent with every request
    max_message_bytes: int  # in either direction

    def __str__(self) -> str:
        return f"{_options.PROTOCOLS[self.protocol].name} server at {self.address}"


class Stream(Protocol):
    """A stream that goes both ways, for the pieces of one sequence."""

    def send(self, piece: Piece) -> None:
        """Send it, and do not wait; raises AsrError only."""

    def receive(self) -> Said:
        """Return what the server says next; raises AsrError only."""

    def close(self) -> None:
        """End it; the server forgets a sequence that was not ended by a last piece."""


class AsyncStream(Protocol):
    """The same for one event loop."""

    def send(self, piece: Piece) -> None:
        """Send it, and do not wait; raises AsrError only."""

    async def receive(self) -> Said:
        """Return what the server says next; raises AsrError only."""

    async def aclose(self) -> None:
        """End it; the server forgets a sequence that was not ended by a last piece."""


class Transport(Protocol):
    """Takes operations to a server. Safe to use from many threads."""

    @property
    def supports_streams(self) -> bool:
        """Return whether `open_stream` does."""

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt of `timeout_s` seconds (None: no limit); raises AsrError only."""

    def open_stream(self, silence_s: float | None) -> Stream:
        """Return a stream; `silence_s` is how long the server may say nothing (None: no limit)."""

    def close(self) -> None:
        """Close the connections; requests under way fail, which the client then reports as ClientClosed."""


class AsyncTransport(Protocol):
    """The same for one event loop."""

    @property
    def supports_streams(self) -> bool:
        """Return whether `open_stream` does."""

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """Make one attempt of `timeout_s` seconds (None: no limit); raises AsrError only."""

    def open_stream(self, silence_s: float | None) -> AsyncStream:
        """Return a stream; `silence_s` is how long the server may say nothing (None: no limit)."""

    async def aclose(self) -> None:
        """Close the connections; requests under way fail, which the client then reports as ClientClosed."""


def no_streams(kind: str) -> InvalidOption:
    """The error of a transport that does not support streams."""
    return InvalidOption(f"live streams need protocol='grpc'; {kind} has no streams that go both ways")
