"""A gateway in the foreground of a command: its log, its warning, and its line of readiness."""

import ipaddress
import logging
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop
from asr_client import AsrError, AsyncClient

from asr_gateway import allocator, serving
from asr_gateway.app import GatewayOptions, create_app
from asr_gateway.keys import Keys

_MODELS_TIMEOUT_S = 5.0


def run(
    client: AsyncClient,
    options: GatewayOptions,
    keys: Keys,
    listener: socket.socket,
    say_ready: Callable[[str, str], None],
    certificate: Path | None = None,
    private_key: Path | None = None,
    until: Coroutine[Any, Any, None] | None = None,
) -> bool:
    """Serve until SIGTERM or SIGINT.

    Args:
        client: of the servers; it is closed at the end.
        options: what the gateway does.
        keys: who may call.
        listener: listens already.
        say_ready: called with the gateway's address (http://HOST:PORT), and words about its models.
        certificate: of TLS (PEM).
        private_key: likewise.
        until: at its end the gateway stops, too; what it raises is raised then.

    Returns:
        Whether a second signal came, so that nobody should wait any longer.

    Raises:
        GatewayError: certificate and key cannot be used.
    """
    logging.basicConfig(format="%(asctime)s %(message)s")
    # It writes a warning for each broken form, which is the caller's business.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    allocator.keep_some()
    url = f"{'http' if certificate is None else 'https'}://{_host_and_port(listener)}"

    async def serve() -> bool:
        async with client:

            async def on_ready() -> None:
                say_ready(url, await _models(client))

            app = create_app(client, options, keys)
            return await serving.serve(app, listener, keys, on_ready, certificate, private_key, until)

    return uvloop.run(serve())


def warning(listener: socket.socket, keys: Keys, option: str) -> str | None:
    """Return what to say about a gateway that everybody may call from other machines; None if nobody can.

    Args:
        listener: of the gateway.
        keys: who may call.
        option: the one that names a file of keys.
    """
    host = listener.getsockname()[0]
    if keys.are_needed or ipaddress.ip_address(host).is_loopback:
        return None
    return (
        f"{host} lets other machines connect, and everybody may call: give {option} FILE, in which `triton-asr "
        "gateway-key` writes"
    )


async def _models(client: AsyncClient) -> str:
    """Return what the line of readiness says about the models."""
    try:
        names = [model.name for model in await client.models(timeout_s=_MODELS_TIMEOUT_S)]
    except AsrError as error:  # it may come later
        return f"no models yet: {error}"
    return f"models: {', '.join(names) or 'none'}"


def _host_and_port(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
