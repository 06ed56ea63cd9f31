"""The gateway in the foreground: uvicorn with the signals of a service."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from asr_gateway.errors import GatewayError
from asr_gateway.front import Front
from asr_gateway.http1 import Http1
from asr_gateway.keys import Keys

_BACKLOG = 2048
_TICK_S = 1.0  # the date of answers has seconds
_DRAIN_S = 30  # for requests under way when the gateway stops
# Messages of a WebSocket: beyond this the socket is closed, and below it the app says what is too large.
_MOST_MESSAGE_BYTES = 24 * 2**20
_UNNECESSARY = "ASGI callable returned without completing handshake"  # uvicorn's error for each refused handshake
# Clients and proxies close an idle connection themselves: nginx after 60 s. If the gateway closed it first, at the very
# moment of a request, that request would fail, because nobody may send a POST again.
_KEEP_ALIVE_S = 75
_logger = logging.getLogger("asr_gateway")


class _Server(uvicorn.Server):
    """Calls a function when it listens, and ends well after SIGTERM, where uvicorn ends by the signal.

    After a second signal of any kind, it does not wait for requests under way.
    """

    def __init__(self, config: uvicorn.Config, app: Front, on_ready: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready
        self._ends = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        await self._on_ready()

    async def main_loop(self) -> None:
        """Wait for the end. uvicorn looks ten times a second, which costs a gateway with little to do most of all."""
        while not await self.on_tick(0):  # which writes the date that answers have
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ends.wait(), _TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._app.stop()  # uvicorn would close WebSockets as if the service began again
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.end()

    def end(self) -> None:
        """Let the server stop."""
        self.should_exit = True
        self._ends.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def serve(
    app: Front,
    listener: socket.socket,
    keys: Keys,
    on_ready: Callable[[], Awaitable[None]],
    certificate: Path | None = None,
    private_key: Path | None = None,
    until: Coroutine[Any, Any, None] | None = None,
) -> bool:
    """Serve the app until SIGTERM or SIGINT. SIGHUP reads the keys again.

    Args:
        app: the gateway.
        listener: listens already.
        keys: of the app.
        on_ready: called when requests are answered.
        certificate: of TLS (PEM).
        private_key: likewise.
        until: at its end the gateway stops, too; what it raises is raised then.

    Returns:
        Whether a second signal came, so that nobody should wait any longer.

    Raises:
        GatewayError: certificate and key cannot be used.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        http=Http1,
        ws="websockets-sansio",
        ws_max_size=_MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # base64 of audio hardly shrinks, and each socket would hold a window
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
    )
    try:
        config.load()
    except OSError as error:  # of TLS, too
        raise GatewayError(f"cannot use the certificate {certificate} with the key {private_key}: {error}") from error
    logging.getLogger("uvicorn.error").addFilter(_is_necessary)
    server = _Server(config, app, on_ready)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, _reload, keys)
    try:
        async with _stopping(server, until):
            await server.serve(sockets=[listener])
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
    return bool(server.force_exit)


@contextlib.asynccontextmanager
async def _stopping(server: _Server, until: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Stop the server when something else ends, and raise at the end of the block what that has raised."""
    if until is None:
        yield
        return
    other = asyncio.ensure_future(until)
    other.add_done_callback(lambda _: server.end())
    try:
        yield
        if other.done():
            other.result()
    finally:
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


def listen(host: str, port: int, options: str = "--host or --port") -> socket.socket:
    """Return a socket that listens.

    Args:
        host: name or address.
        port: 0 for a free one.
        options: those that name another one, for the error.

    Raises:
        GatewayError: it cannot; the message names the option.
    """
    name = host.removeprefix("[").removesuffix("]")
    try:
        family, _, _, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise GatewayError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another {options}"
        ) from error


def _is_necessary(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_UNNECESSARY)


def _reload(keys: Keys) -> None:
    try:
        keys.reload()
    except GatewayError as error:
        _logger.error("the keys from before stay: %s", error)
    else:
        _logger.warning("%d keys", len(keys))
