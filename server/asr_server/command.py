"""`triton-asr serve`: a server in the foreground."""

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from asr_server.server import TritonServer


# The pip-installed Triton is pinned; see "Who may connect" in docs/server.md.
EXPOSED = (
    "triton-asr: warning: {host} lets other machines connect, and the pip-installed Triton is release 24.10: no "
    "authentication, and later security fixes are missing. Expose it in a trusted network only; in production run a "
    "current full tritonserver (--tritonserver)"
)


class _Stop(BaseException):
    """The arrival of SIGTERM or SIGINT; as with KeyboardInterrupt, no `except Exception` may swallow it."""


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
) -> None:
    """Serve a model repository until Ctrl-C or SIGTERM.

    When all models are ready, one line on standard output shows their addresses. Triton's log goes to standard error. A
    second Ctrl-C does not wait for running requests.
    """
    from asr_server import installation, ports
    from asr_server.server import TritonServer

    if installation.is_pip_installed(tritonserver) and not ports.is_loopback(host):
        typer.echo(EXPOSED.format(host=host), err=True)
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
    previous = _stop_on_signals(server)
    try:
        with server:
            typer.echo(ready_line(server))
            server.wait()
    except _Stop:
        pass
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def ready_line(server: "TritonServer") -> str:
    """Return the line for standard output that says that the server is ready."""
    addresses = f"grpc {server.grpc_url}  http {server.http_url}  metrics {server.metrics_url}"
    return f"ready: {addresses}  (models: {', '.join(server.models) or 'none'})"


def _stop_on_signals(server: "TritonServer") -> dict[signal.Signals, "signal._HANDLER"]:
    """Let the first SIGTERM or SIGINT stop the server and the second one kill it; return the handlers from before."""
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told:
            server.kill()
            return
        told = True
        raise _Stop

    return {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
