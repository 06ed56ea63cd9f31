"""The options with which a command finds its server, and the line with which it reports a failure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from asr_client import _options

if TYPE_CHECKING:
    from asr_client import AsyncClient, Client, RetryPolicy, Tls

AnyClient = TypeVar("AnyClient")

Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        "-u",
        metavar="HOST:PORT",
        help="The server; by default 127.0.0.1:8001 (8000 for HTTP). Repeat it for servers with the same models.",
    ),
]
Protocol = Annotated[_options.Protocol, typer.Option("--protocol", "-i", help="Protocol of the server.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Name of the model, as in export --name.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="Longest wait for one answer.")]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="Requests under way at a time.")]
UseTls = Annotated[bool, typer.Option("--tls", help="Encrypt the connection.")]
TlsCa = Annotated[Path | None, typer.Option("--tls-ca", help="Authorities to trust (PEM); implies --tls.")]
TlsCert = Annotated[Path | None, typer.Option("--tls-cert", help="Certificate of this client (PEM).")]
TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="Private key of this client (PEM).")]
Headers = Annotated[
    list[str] | None, typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Send a header; may be repeated.")
]


@dataclass(frozen=True, kw_only=True)
class Connection:
    """The server and the connection to it: each field is an option of the command line (see `groups`)."""

    urls: Urls = None
    protocol: Protocol = "grpc"
    model: Model = _options.DEFAULT_MODEL
    timeout_s: Timeout = _options.DEFAULT_TIMEOUT_S
    tls: UseTls = False
    tls_ca: TlsCa = None
    tls_cert: TlsCert = None
    tls_key: TlsKey = None
    headers: Headers = None

    def client(self) -> "Client":
        """Return a client of the server.

        Raises:
            typer.BadParameter: an option is not valid.
        """
        from asr_client import Client

        return self._open(Client)

    def async_client(self, retry: "RetryPolicy") -> "AsyncClient":
        """Return an async client of the server with these retries. It raises as `client` does."""
        from asr_client import AsyncClient

        return self._open(AsyncClient, retry=retry)

    @property
    def address(self) -> str:
        """Return HOST:PORT of the server, also when it is the default.

        Raises:
            typer.BadParameter: there are several.
        """
        from asr_client._address import DEFAULT_ADDRESSES

        return self.url or DEFAULT_ADDRESSES[self.protocol]

    @property
    def url(self) -> str | None:
        """Return the address that was given; None: none was.

        Raises:
            typer.BadParameter: there are several.
        """
        if self.urls and len(self.urls) > 1:
            raise typer.BadParameter(f"--url is given {len(self.urls)} times; this command takes one server")
        return self.urls[0] if self.urls else None

    @property
    def security(self) -> "Tls | bool":
        """Return how the connection is encrypted, as the clients take it."""
        from asr_client import Tls

        with_tls = self.tls or any((self.tls_ca, self.tls_cert, self.tls_key))
        return Tls(ca_file=self.tls_ca, cert_file=self.tls_cert, key_file=self.tls_key) if with_tls else False

    @property
    def header_fields(self) -> dict[str, str]:
        """Return the headers by name."""
        return dict(map(_header, self.headers or ()))

    def _open(self, kind: "Callable[..., AnyClient]", **arguments: Any) -> "AnyClient":
        from asr_client import InvalidOption

        try:
            return kind(
                self.urls or None,
                protocol=self.protocol,
                model=self.model,
                timeout_s=self.timeout_s,
                tls=self.security,
                headers=self.header_fields,
                **arguments,
            )
        except InvalidOption as error:
            raise typer.BadParameter(str(error)) from error


DEFAULT = Connection()


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise typer.BadParameter(f"header is {line!r}; needs 'NAME: VALUE'")
    return name.strip(), value.strip()


def failure(source: str, error: Exception) -> str:
    """Return the line on standard error for a recording that failed."""
    message = str(error)
    return f"triton-asr: error: {message if source in message else f'{source}: {message}'}"
