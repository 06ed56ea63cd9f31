"""`triton-asr gateway` and `triton-asr gateway-key`."""

from pathlib import Path
from typing import Annotated

import typer
from asr_client.commands import groups
from asr_client.commands.connection import DEFAULT, Connection


@groups.grouped
def gateway(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines connect.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 chooses a free port.")] = 8080,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="API keys, of which a caller needs one; SIGHUP reads the file again."),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="NAME[=MODEL]", help="Another name of a model, by default of --model."),
    ] = None,
    max_upload_mb: Annotated[
        float, typer.Option("--max-upload-mb", min=0.001, metavar="MIB", help="Largest request.")
    ] = 500,
    max_requests: Annotated[
        int, typer.Option("--max-requests", min=1, help="Recordings under way at a time; more are refused.")
    ] = 64,
    max_sockets: Annotated[
        int, typer.Option("--max-sockets", min=1, help="Sockets open at a time; more are refused.")
    ] = 64,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="N", help="Recordings a minute for each key, or each address without keys."),
    ] = None,
    max_wait_s: Annotated[
        float,
        typer.Option(
            "--max-wait", min=0.001, metavar="SECONDS", help="How long a request waits for a server that is away."
        ),
    ] = 5,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin", metavar="ORIGIN", help="Web pages that may call: https://app.example.com, or *."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name of the gateway; * for any, as it is with --keys."),
    ] = None,
    https_cert: Annotated[
        Path | None, typer.Option("--https-cert", metavar="FILE", help="Certificate of the gateway (PEM).")
    ] = None,
    https_key: Annotated[
        Path | None, typer.Option("--https-key", metavar="FILE", help="Its private key (PEM).")
    ] = None,
    server: Connection = DEFAULT,
) -> None:
    """Speak OpenAI's protocol in front of a server, until Ctrl-C or SIGTERM.

    When it listens, one line on standard error shows its address and the models.
    """
    from asr_client import RetryPolicy

    from asr_gateway import foreground, serving
    from asr_gateway.app import GatewayOptions
    from asr_gateway.keys import Keys
    from asr_gateway.limits import MIB, LimitOptions
    from asr_gateway.models import ALIASES

    for file, option in ((https_cert, "--https-cert"), (https_key, "--https-key")):
        if (https_cert is None) != (https_key is None):
            raise typer.BadParameter("a certificate and its key go together", param_hint="--https-cert, --https-key")
        if file is not None and not file.is_file():
            raise typer.BadParameter(f"there is no file {file}", param_hint=option)
    who = Keys(keys)
    options = GatewayOptions(
        default_model=server.model,
        aliases={**ALIASES, **dict(map(_alias, alias or ()))},
        limits=LimitOptions(
            upload_bytes=int(max_upload_mb * MIB), requests=max_requests, sockets=max_sockets, per_minute=rate
        ),
        origins=allow_origin or (),
        # A page that a rebound name has led here has no key.
        hosts=allow_host or (("*",) if who.are_needed else ()),
    )
    with serving.listen(host, port) as listener:
        if told := foreground.warning(listener, who, "--keys"):
            typer.echo(f"triton-asr: warning: {told}", err=True)
        foreground.run(
            server.async_client(RetryPolicy(max_wait_s=max_wait_s)),
            options,
            who,
            listener,
            lambda url, models: typer.echo(f"ready: {url}/v1  ({models})", err=True),
            https_cert,
            https_key,
        )


def gateway_key(
    name: Annotated[str, typer.Argument(help="Who gets the key; the rate counts by it.")],
    keys: Annotated[Path, typer.Option(metavar="FILE", help="The keys of a gateway; it is made if it is not there.")],
) -> None:
    """Make an API key: the file gets its hash, and standard output the key, once."""
    from asr_gateway.keys import add

    typer.echo(add(keys, name))
    typer.echo(f"triton-asr: {keys} has its hash; a gateway reads the file again after SIGHUP", err=True)


def _alias(given: str) -> tuple[str, str]:
    name, equals, model = given.partition("=")
    if not name.strip() or (equals and not model.strip()):
        raise typer.BadParameter(f"alias is {given!r}; needs NAME or NAME=MODEL", param_hint="--alias")
    return name.strip(), model.strip()
