"""What a transport is, and how to open one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from asr_client import _options
from asr_client._errors import InvalidOption
from asr_client._live import Live, Piece
from asr_client._protocol import Answer, Operation, Tensors

PROTOCOL_NAMES: dict[_options.Protocol, str] = {"grpc": "gRPC", "http": "HTTP"}


@dataclass(frozen=True)
class Endpoint:
    """Where the server is and how to talk to it."""

    address: str  # HOST:PORT
    protocol: _options.Protocol
    tls: _options.Tls | None
    headers: Mapping[str, str]  # sent with every request
    max_message_bytes: int  # in either direction

    def __str__(self) -> str:
        return f"{PROTOCOL_NAMES[self.protocol]} server at {self.address}"


class LiveCall(Protocol):
    """A live stream of one caller."""

    def ask(self, piece: Piece) -> Tensors:
        """What is known with this piece; raises AsrError only."""

    def close(self) -> None:
        """End it; the server forgets what was not ended by a last piece."""


class AsyncLiveCall(Protocol):
    """The same for one event loop."""

    async def ask(self, piece: Piece) -> Tensors:
        """What is known with this piece; raises AsrError only."""

    async def aclose(self) -> None:
        """End it; the server forgets what was not ended by a last piece."""


class Transport(Protocol):
    """Takes operations to a server. Safe to use from many threads."""

    def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """One attempt of `timeout_s` seconds (None: no limit); raises AsrError only."""

    def open_live(self, live: Live, silence_s: float | None) -> LiveCall:
        """A live stream; `silence_s` is how long the server may say nothing (None: no limit)."""

    def close(self) -> None:
        """Close the connections; requests under way fail, which the client then reports as ClientClosed."""


class AsyncTransport(Protocol):
    """The same for one event loop."""

    async def send(self, operation: Operation[Answer], timeout_s: float | None) -> Answer:
        """One attempt of `timeout_s` seconds (None: no limit); raises AsrError only."""

    def open_live(self, live: Live, silence_s: float | None) -> AsyncLiveCall:
        """A live stream; `silence_s` is how long the server may say nothing (None: no limit)."""

    async def aclose(self) -> None:
        """Close the connections; requests under way fail, which the client then reports as ClientClosed."""


def no_streams(kind: str) -> InvalidOption:
    """The error of a transport that has no live streams."""
    return InvalidOption(f"live streams need protocol='grpc'; {kind} has no streams that go both ways")


def open_transport(endpoint: Endpoint) -> Transport:
    """Import and open the sync transport of the endpoint's protocol; connects with the first request."""
    if endpoint.protocol == "grpc":
        from .grpc import GrpcTransport

        return GrpcTransport(endpoint)
    from .http import HttpTransport

    return HttpTransport(endpoint)


def open_async_transport(endpoint: Endpoint) -> AsyncTransport:
    """Import and open the async transport of the endpoint's protocol, in the running event loop."""
    if endpoint.protocol == "grpc":
        from .grpc import AsyncGrpcTransport

        return AsyncGrpcTransport(endpoint)
    from .http import AsyncHttpTransport

    return AsyncHttpTransport(endpoint)
