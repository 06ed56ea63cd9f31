"""A server in the foreground of a command: its warning, its line of readiness, and the signals that stop it."""

import os
import signal
from collections.abc import Callable
from types import FrameType

from asr_server import installation, ports
from asr_server.server import TritonServer

# The pip-installed Triton is pinned; see "Who may connect" in docs/server.md.
_EXPOSED = (
    "{host} lets other machines connect, and the pip-installed Triton is release 24.10: no authentication, and later "
    "security fixes are missing. Expose it in a trusted network only; in production run a current full tritonserver "
    "(--tritonserver)"
)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Stop(BaseException):
    """The arrival of SIGTERM or SIGINT; as with KeyboardInterrupt, no `except Exception` may swallow it."""


class _Signals:
    """Lets the first signal stop the work, and further ones kill the server."""

    def __init__(self, server: TritonServer) -> None:
        self._server = server
        self._has_come = False

    def listen(self) -> None:
        """Handle the signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def work_is_over(self) -> None:
        """Kill the server at the next signal: the work has had its own way to end."""
        self._has_come = True
        self.listen()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._has_come:
            self._server.kill()
            return
        self._has_come = True
        raise _Stop


def run(server: TritonServer, work: Callable[[TritonServer], None]) -> None:
    """Start the server, do the work, and stop the server; SIGTERM and SIGINT end the work.

    A second signal does not wait for running requests.

    Args:
        server: is not started yet.
        work: goes on while the server is ready. It may handle the signals itself, and returns at the first one then.

    Raises:
        TritonServerError: the server did not start, or ended without being told to.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    signals = _Signals(server)
    signals.listen()
    try:
        with server:
            work(server)
            signals.work_is_over()
    except _Stop:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def warning(host: str, tritonserver: str | os.PathLike[str] | None) -> str | None:
    """Return what to say about a server that other machines can reach; None if there is nothing to say.

    Args:
        host: the address on which it will listen.
        tritonserver: the program that will run; None: the one that is found.
    """
    if installation.is_pip_installed(tritonserver) and not ports.is_loopback(host):
        return _EXPOSED.format(host=host)
    return None


def addresses(server: TritonServer) -> str:
    """Return the addresses of a server that is ready, as the line of readiness has them."""
    return f"grpc {server.grpc_url}  http {server.http_url}  metrics {server.metrics_url}"


def serve_alone(server: TritonServer, say: Callable[[str], None]) -> None:
    """Say that the server is ready, and wait until it ends, which is an error.

    Raises:
        ServerDiedError: it has ended.
    """
    say(f"ready: {addresses(server)}  (models: {', '.join(server.models) or 'none'})")
    server.wait()
