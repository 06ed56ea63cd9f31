"""The server's address and the headers of every request, checked when a client is made, not at its first use."""

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence

from asr_client import _options
from asr_client._errors import InvalidOption

DEFAULT_ADDRESSES: dict[_options.Protocol, str] = {
    protocol: f"127.0.0.1:{facts.port}" for protocol, facts in _options.PROTOCOLS.items()
}

# The schemes of gRPC's own name syntax.
_GRPC_NAME = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):.")
_PARTS = re.compile(r"(?P<host>\[[^\[\]/]+\]|[^:\[\]/]+)(?::(?P<port>[^:/]*))?(?P<path>/.*)?")
# The names that gRPC takes. HTTP takes a few more characters, which nobody uses.
_HEADER_NAME = re.compile(r"[0-9A-Za-z_.-]+")
_NOT_PRINTABLE_ASCII = re.compile(r"[^ -~]")
# Environment variables through which gRPC finds a proxy, in its order.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def checked_addresses(url: str | Sequence[str] | None, protocol: _options.Protocol) -> tuple[str, ...]:
    """Return the addresses to connect to: one, or several servers that have the same models.

    Raises:
        InvalidOption: there is none, one is no address, or one stands there twice.
    """
    if url is None or isinstance(url, str):
        return (checked_address(url, protocol),)
    addresses = tuple(checked_address(one, protocol) for one in url)
    if not addresses:
        raise InvalidOption("url is an empty list; needs HOST:PORT, or a list of them")
    if len(set(addresses)) < len(addresses):
        raise InvalidOption(f"url is {', '.join(addresses)}; needs each server once")
    return addresses


def checked_address(url: str | None, protocol: _options.Protocol) -> str:
    """Return the address to connect to.

    Args:
        url: HOST:PORT; over HTTP a path may follow. None: Triton's port on this machine.
        protocol: the protocol of that port.

    Raises:
        InvalidOption: `url` is no such address.
    """
    if url is None:
        return DEFAULT_ADDRESSES[protocol]
    scheme, separator, rest = url.partition("://")
    if separator:
        secure = ", tls=True" if scheme in ("https", "grpcs") else ""
        other = "http" if scheme.startswith("http") else "grpc"
        call = f"Client({rest.strip('/')!r}, protocol={other!r}{secure})"
        raise InvalidOption(f"url is {url!r}; needs HOST:PORT without a scheme: {call}")
    if not url or any(character.isspace() for character in url):
        raise InvalidOption(f"url is {url!r}; needs HOST:PORT")
    facts = _options.PROTOCOLS[protocol]
    if facts.has_resolvers and _GRPC_NAME.match(url):
        return url
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise InvalidOption(f"url is {url!r}; needs HOST:PORT, an IPv6 address in brackets, as in [::1]:8001")
    port, path = parts["port"], parts["path"]
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise InvalidOption(f"url is {url!r}; needs a port from 1 to 65535")
    if not facts.takes_paths and path and path.strip("/"):
        raise InvalidOption(f"url is {url!r}; needs HOST:PORT alone: {facts.name} addresses have no path")
    return url.rstrip("/")


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers, if both protocols can carry them.

    Raises:
        InvalidOption: a name or a value cannot be sent. The message shows no values, because they may be secret.
    """
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name) or name.endswith("-bin"):
            raise InvalidOption(
                f"headers has the name {name!r}; needs letters, digits, '-', '_' and '.', and not -bin at its end"
            )
        if not isinstance(value, str):
            raise InvalidOption(f"headers has a value of type {type(value).__name__} for {name!r}; needs str")
        if strange := _NOT_PRINTABLE_ASCII.search(value):
            raise InvalidOption(
                f"headers has {strange[0]!r} in the value of {name!r}; needs printable ASCII: encode the rest, by "
                "percent signs or as base64"
            )
    return dict(headers or {})


def is_loopback(host: str) -> bool:
    """Return whether the host's name alone says that it is this machine."""
    host = host.removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_arguments(address: str) -> list[tuple[str, int]]:
    """Return the arguments of a gRPC channel to the address; a channel to this machine uses no proxy."""
    return [("grpc.enable_http_proxy", 0)] if is_loopback(_host(address)) else []


def proxy_of(address: str) -> str | None:
    """Return the environment variable that gives gRPC a proxy for the address; None if there is no proxy."""
    variable = next((name for name in _PROXIES if os.environ.get(name)), None)
    return None if is_loopback(_host(address)) else variable


def _host(address: str) -> str:
    parts = _PARTS.fullmatch(address)
    return parts["host"] if parts else ""
