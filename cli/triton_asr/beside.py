"""A gateway in the process of `triton-asr serve`: it begins when the server is ready, and ends before the server.

Both are in one process, because a signal then has one receiver, which ends them in their order.
"""

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from asr_server.server import TritonServer

    from triton_asr.serve import Before

_MAX_WAIT_S = 5.0  # of a request, for a server that starts again


class MissingExtra(Exception):
    """A package of the gateway is not installed; the message says how to install it."""


class NoDefaultModel(Exception):
    """Nobody can tell which model a request without a name is for; the message has the valid names."""


def check_extra() -> None:
    """Make sure that a gateway can run here.

    Raises:
        MissingExtra: a package is not installed.
    """
    try:
        import asr_gateway.foreground  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"`triton-asr serve --gateway` needs the package {error.name}, which is missing: "
            'pip install "triton-asr-kit[gateway,server]"'
        ) from error


def serve(server: "TritonServer", before: "Before") -> None:
    """Start the server, then a gateway before it, until a signal stops both, the gateway first.

    Raises:
        GatewayError: the gateway cannot listen, or its keys cannot be read; the server is not started then.
        NoDefaultModel: the server has no model, or several.
        TritonServerError: the server did not start, or ended without being told to.
    """
    from asr_client import AsyncClient, RetryPolicy
    from asr_gateway import foreground as gateway
    from asr_gateway.app import GatewayOptions
    from asr_gateway.keys import Keys
    from asr_gateway.serving import listen
    from asr_server import foreground

    keys = Keys(before.gateway_keys)
    with listen(before.gateway_host, before.gateway_port, "--gateway-host or --gateway-port") as listener:
        if told := gateway.warning(listener, keys, "--gateway-keys"):
            typer.echo(f"triton-asr: warning: {told}", err=True)

        def run(running: "TritonServer") -> None:
            model = before.gateway_model or _default_model(running)
            # With keys, any name will do: a page that a rebound name has led here has no key.
            options = GatewayOptions(default_model=model, hosts=("*",) if keys.are_needed else ())

            def say_ready(url: str, models: str) -> None:
                typer.echo(f"ready: page {url}/  api {url}/v1  {foreground.addresses(running)}  ({models})")

            client = AsyncClient(running.grpc_url, model=model, retry=RetryPolicy(max_wait_s=_MAX_WAIT_S))
            if gateway.run(client, options, keys, listener, say_ready, until=_ended(running)):
                running.kill()

        foreground.run(server, run)


def _default_model(server: "TritonServer") -> str:
    from asr_client import Client
    from asr_client.commands.connection import DEFAULT

    with Client(server.grpc_url) as client:
        names = [model.name for model in client.models()]
    if DEFAULT.model in names:
        return DEFAULT.model
    if not names:
        raise NoDefaultModel("the server has no model of this kit; `triton-asr export` makes one")
    if len(names) > 1:
        raise NoDefaultModel(
            f"the models are {', '.join(names)}; needs --gateway-model NAME, one of them, for requests that name none"
        )
    return names[0]


async def _ended(server: "TritonServer") -> None:
    """Wait until the server ends.

    Raises:
        TritonServerError: it has ended.
    """
    from asr_server import TritonServerError

    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def fail(error: TritonServerError) -> None:
        if not ended.done():  # nobody waits any more when the gateway has ended before
            ended.set_exception(error)

    def wait() -> None:
        try:
            server.wait()
        except TritonServerError as error:
            with contextlib.suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(fail, error)

    # No thread of the loop's own: it would have to end before the loop, and the server ends after it.
    threading.Thread(target=wait, name="server-ended", daemon=True).start()
    await ended
