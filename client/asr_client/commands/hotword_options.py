"""The options of a command that name words to listen for."""

from pathlib import Path
from typing import Annotated

import typer

Words = Annotated[
    str, typer.Option("--hotwords", metavar="WORD,…", help="Listen for these words; WORD^5 for one more than others.")
]
File = Annotated[
    Path | None,
    typer.Option("--hotwords-file", metavar="FILE", help="The same from a file, one a line; # begins a comment."),
]


def join(words: str, file: Path | None) -> str:
    """Both as one list, as the server takes it.

    Raises:
        typer.BadParameter: the file cannot be read, or a line of it holds a comma.
    """
    if file is None:
        return words
    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {file}: {error}", param_hint="--hotwords-file") from error
    if broken := next((line for line in lines if "," in line), None):
        raise typer.BadParameter(f"{file} holds {broken!r}; needs one word a line", param_hint="--hotwords-file")
    return ",".join(filter(None, [words, *lines]))
