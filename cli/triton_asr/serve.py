"""`triton-asr serve`: a server in the foreground, alone or with a gateway before it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from asr_client.commands import groups


@dataclass(frozen=True, kw_only=True)
class Before:
    """The gateway before the server; `triton-asr gateway` has more options."""

    gateway: Annotated[
        bool,
        typer.Option("--gateway", help="Put a gateway before it, which speaks OpenAI's protocol and has a web page."),
    ] = False
    gateway_host: Annotated[
        str,
        typer.Option("--gateway-host", help="Its address; 0.0.0.0 lets other machines connect to the gateway alone."),
    ] = "127.0.0.1"
    gateway_port: Annotated[
        int, typer.Option("--gateway-port", min=0, max=65535, help="Its port; 0 chooses a free one.")
    ] = 8080
    gateway_keys: Annotated[
        Path | None,
        typer.Option("--gateway-keys", metavar="FILE", help="API keys, of which a caller of the gateway needs one."),
    ] = None
    gateway_model: Annotated[
        str | None,
        typer.Option(
            "--gateway-model",
            metavar="NAME",
            help="The model of requests that name none; by default asr, or the only one.",
            show_default=False,
        ),
    ] = None


ALONE = Before()


@groups.grouped
def serve(
    repository: Annotated[
        Path, typer.Argument(metavar="DIR", help="The model repository: a folder of model folders.", show_default=False)
    ],
    extra_args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- OPTIONS]", help="Further options for tritonserver.", show_default=False),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines connect, without any login.")
    ] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free port.")] = 8000,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free port.")] = 8001,
    metrics_port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free port.")] = 8002,
    tritonserver: Annotated[
        Path | None,
        typer.Option(
            help="The tritonserver to run, with its own backends. Default: the one on PATH, else the one from pip.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all of Triton's log, at its verbose level.")] = False,
    before: Before = ALONE,
) -> None:
    """Serve a model repository until Ctrl-C or SIGTERM.

    When all models are ready, one line on standard output shows the addresses. Triton's log goes to standard error. A
    second Ctrl-C does not wait for running requests.
    """
    if before.gateway:
        from triton_asr import beside

        beside.check_extra()
    elif before != ALONE:
        raise typer.BadParameter("the options --gateway-… are for a gateway; give --gateway, too")

    from asr_server import foreground
    from asr_server.server import TritonServer

    if told := foreground.warning(host, tritonserver):
        typer.echo(f"triton-asr: warning: {told}", err=True)
    server = TritonServer(
        repository,
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        tritonserver=tritonserver,
        verbose=verbose,
        extra_args=extra_args or (),
    )
    if before.gateway:
        beside.serve(server, before)
    else:
        foreground.run(server, lambda running: foreground.serve_alone(running, typer.echo))
