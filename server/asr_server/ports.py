"""Choice and check of the three ports before tritonserver starts; its own message names no option and no cure."""

import contextlib
import errno
import ipaddress
import socket
from dataclasses import dataclass, replace

from asr_server.errors import PortInUseError, TritonServerError

_FLAGS = {"http": "--http-port", "grpc": "--grpc-port", "metrics": "--metrics-port"}


@dataclass(frozen=True)
class Ports:
    """The three ports of a server; 0 means any free port."""

    http: int
    grpc: int
    metrics: int

    @property
    def has_free_choice(self) -> bool:
        """Return whether another attempt may find other ports."""
        return 0 in (self.http, self.grpc, self.metrics)


def reserve(host: str, wanted: Ports) -> Ports:
    """Return `wanted` with each 0 replaced by a free port, after checking that all three can be bound.

    The ports are free again on return, because tritonserver must bind them itself. So a caller that asked for 0 must be
    ready to try again.

    Raises:
        PortInUseError: a port is in use, or given twice.
        TritonServerError: a port is out of range, or the host is not an address of this machine.
    """
    chosen: dict[str, int] = {}
    with contextlib.ExitStack() as held:  # hold all three at once, or the system could give one of them twice
        for name, flag in _FLAGS.items():
            port = getattr(wanted, name)
            if not 0 <= port <= 65535:  # getaddrinfo would take the number modulo 65536
                raise TritonServerError(f"{port} is not a port ({flag}); valid: 1 to 65535, or 0 for a free one")
            if port and port in chosen.values():
                raise PortInUseError(f"port {port} is given twice; choose another one with {flag}")
            listener = held.enter_context(_bind(host, port, flag))
            chosen[name] = listener.getsockname()[1]
    return replace(wanted, **chosen)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches the address; True for an unknown name, where nothing can listen."""
    try:
        found = socket.getaddrinfo(host.removeprefix("[").removesuffix("]"), 0, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


def _bind(host: str, port: int, flag: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise TritonServerError(f"cannot listen on {host}:{port} ({flag}): {error}") from error
    # tritonserver does the same: connections of an earlier server that are in TIME_WAIT do not count as "in use".
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()  # with SO_REUSEADDR, bind alone succeeds beside a bound socket that does not listen yet
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"port {port} on {host} is already in use; stop what uses it or choose another one with {flag}"
            ) from error
        raise TritonServerError(f"cannot listen on {host}:{port} ({flag}): {error.strerror}") from error
    return listener
