"""Which web pages may call: the Origin and Host headers that browsers send, and the CORS headers of answers.

A page of another site is a foreign origin. A page that a rebound DNS name has led to this address has the right origin,
and a wrong Host.
"""

import functools
import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from asr_gateway.errors import ApiError

ANY = "*"
_EXPOSED = "x-request-id, retry-after"
_METHODS = "GET, POST, OPTIONS"


class Origins:
    """Checks where a request comes from.

    Args:
        allowed: origins of foreign pages that may call, such as "https://app.example.com"; "*" for all of them.
        hosts: names under which the gateway is called, besides addresses and localhost; "*" for all names.
    """

    def __init__(self, allowed: Collection[str] = (), hosts: Collection[str] = ()) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._hosts = frozenset(host.lower() for host in (*hosts, "localhost", socket.gethostname()))

    def check(self, headers: Headers) -> None:
        """Raise an ApiError for a request of a foreign page, or to another host."""
        host = headers.get("host")
        if host is not None and not self._is_host(host):
            raise ApiError(
                403,
                "host_not_allowed",
                f"The gateway does not answer to the host {host[:80]!r}: start it with --allow-host to allow the name.",
            )
        origin = headers.get("origin")
        if origin is not None and not self._is_origin(origin, host):
            raise ApiError(
                403,
                "origin_not_allowed",
                f"Pages of {origin[:80]!r} may not call the gateway: start it with --allow-origin to allow them.",
            )

    def headers(self, headers: Headers) -> dict[str, str]:
        """Return the CORS headers of the answer to a request; none for foreign pages and for other programs."""
        origin = headers.get("origin")
        if origin is None or not self._is_origin(origin, headers.get("host")):
            return {}
        shown = {"access-control-expose-headers": _EXPOSED}
        if ANY in self._allowed:
            return {**shown, "access-control-allow-origin": ANY}
        return {**shown, "access-control-allow-origin": origin, "vary": "origin"}

    def preflight(self, headers: Headers) -> dict[str, str]:
        """Return the headers, besides those above, that let a page send the request that it asks for."""
        wanted = headers.get("access-control-request-headers")
        return {
            "access-control-allow-methods": _METHODS,
            "access-control-max-age": "600",
            **({"access-control-allow-headers": wanted} if wanted else {}),
        }

    def _is_host(self, host: str) -> bool:
        if ANY in self._hosts:
            return True
        name, is_address = _read(host)
        return is_address or name in self._hosts

    def _is_origin(self, origin: str, host: str | None) -> bool:
        if ANY in self._allowed or origin.lower() in self._allowed:
            return True
        # Behind a proxy that speaks TLS the scheme is another one, so names and ports decide.
        return host is not None and "://" in origin and origin.partition("://")[2].lower() == host.lower()


@functools.lru_cache(256)
def _read(host: str) -> tuple[str, bool]:
    """Return the name in a Host header, and whether it is an address. Callers mostly send the same one."""
    name = _name(host)
    return name, _is_address(name)


def _name(host: str) -> str:
    """Return the host in a Host header without its port, in lower case; "" if there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
