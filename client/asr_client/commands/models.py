"""`triton-asr models`: the models of this kit that a server offers."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from asr_client.commands import connection, groups, output

if TYPE_CHECKING:
    from asr_client import ModelInfo

HEADER = ("model", "long recordings", "live streams", "languages")


@groups.grouped
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Write a JSON list of objects.")] = False,
    server: Annotated[connection.Connection, groups.Without("model")] = connection.DEFAULT,
) -> None:
    """List the models of a server that are of this kit, and what each takes.

    Of several servers, those that all have. Long recordings and live streams need gRPC. A model with "yes" under
    languages tells the language of a recording, as a Whisper does.
    """
    with server.client() as client:
        found = client.models()
    if as_json:
        typer.echo(output.json_for_stdout(json.dumps([asdict(model) for model in found], ensure_ascii=False, indent=2)))
    elif found:
        typer.echo("\n".join(_table(found)))
    else:
        typer.echo("triton-asr: the server has no model of this kit", err=True)


def _table(found: "Sequence[ModelInfo]") -> list[str]:
    """Return a header and a line for each model, in columns."""
    rows = [HEADER, *(_row(model) for model in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _row(model: "ModelInfo") -> tuple[str, ...]:
    takes = (model.takes_long, model.takes_streams, model.knows_languages)
    return (model.name, *("yes" if each else "no" for each in takes))
