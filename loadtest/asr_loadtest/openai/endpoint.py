"""Where a service is that speaks OpenAI's protocol, and who calls it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from asr_client import InvalidOption, Tls
from asr_client._address import checked_headers

PROTOCOL = "openai"
DEFAULT_URL = "http://127.0.0.1:8080"
# On a command line a key would be in the list of processes and in the report.
KEY_VARIABLE = "OPENAI_API_KEY"

_VERSION = "/v1"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A service that speaks OpenAI's protocol for audio, and one of its models."""

    origin: str  # http://HOST:PORT or https://HOST:PORT
    path: str  # of the protocol there: its end is /v1
    model: str
    timeout_s: float  # longest wait for an answer
    headers: Mapping[str, str] = field(default_factory=dict)  # of every request; the key is in them
    tls: Tls = field(default_factory=Tls)  # of an address that begins with https://

    @property
    def protocol(self) -> str:
        """Return the name of the protocol, as users type it."""
        return PROTOCOL

    @property
    def api(self) -> str:
        """Return the base URL, as OpenAI's SDKs take it."""
        return self.origin + self.path

    @property
    def address(self) -> str:
        """Return HOST:PORT."""
        return self.origin.partition("://")[2]

    @property
    def is_encrypted(self) -> bool:
        """Return whether the connection is one of TLS."""
        return self.origin.startswith("https:")

    @staticmethod
    def at(
        url: str | None, model: str, timeout_s: float, headers: Mapping[str, str] | None = None, tls: Tls | bool = False
    ) -> "Endpoint":
        """Return the endpoint at an address; the key, if one is needed, is in the environment variable OPENAI_API_KEY.

        Args:
            url: http://HOST:PORT or https://…, with or without /v1; None: the gateway's default address.
            model: a name that the service knows.
            timeout_s: longest wait for an answer, in seconds.
            headers: of every request.
            tls: files of an encrypted connection; True and False trust the system's authorities.

        Raises:
            InvalidOption: the address or a header cannot be used.
        """
        url = url or DEFAULT_URL
        origin, path = _parts(url)
        if tls and not origin.startswith("https:"):
            raise InvalidOption(f"url is {url!r}, and the connection is to be encrypted; needs https://…")
        key = os.environ.get(KEY_VARIABLE, "").strip()
        given = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        return Endpoint(
            origin=origin,
            path=path,
            model=model,
            timeout_s=timeout_s,
            headers=checked_headers({name.lower(): value for name, value in given.items()}),
            tls=tls if isinstance(tls, Tls) else Tls(),
        )


def _parts(url: str) -> tuple[str, str]:
    """Return scheme, host and port of an address, as one text, and the path with /v1 at its end.

    Raises:
        InvalidOption: it is no such address.
    """
    needed = f"url is {url!r}; needs http://HOST:PORT or https://HOST:PORT, with or without {_VERSION}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host and not host.isascii():
            host = host.encode("idna").decode()
    except ValueError as error:
        raise InvalidOption(f"{needed}: {error}") from error
    if parts.scheme not in _PORTS or not host or parts.query or parts.fragment or parts.username is not None:
        raise InvalidOption(needed)
    path = parts.path.rstrip("/")
    name = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{name}:{port or _PORTS[parts.scheme]}"
    return origin, path if path.endswith(_VERSION) else path + _VERSION
