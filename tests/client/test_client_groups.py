"""Options that commands share: the same in all of them."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from asr_client.commands import connection, decoding, groups
from command_line import Run
from typer.main import get_command


@dataclass(frozen=True, kw_only=True)
class Size:
    """A group."""

    width: Annotated[int, typer.Option("--width", min=1)] = 3
    height: int = 4


SEEN: list[object] = []


def parse(command: object, *arguments: str) -> object:
    """What a command is called with."""
    app = typer.Typer()
    app.command()(command)  # type: ignore[type-var]
    SEEN.clear()
    get_command(app).main(list(arguments), standalone_mode=False)
    return SEEN[0]


@groups.grouped
def whole(name: Annotated[str, typer.Argument()], size: Size = Size()) -> None:
    SEEN.append((name, size))


@groups.grouped
def part(size: Annotated[Size, groups.Without("height")]) -> None:
    SEEN.append(size)


def test_the_fields_of_a_group_are_options() -> None:
    assert parse(whole, "a") == ("a", Size())
    assert parse(whole, "a", "--width", "7", "--height", "8") == ("a", Size(width=7, height=8))


def test_a_command_may_leave_options_of_a_group_out() -> None:
    assert parse(part, "--width", "7") == Size(width=7)
    with pytest.raises(typer.BadParameter, match="1"):
        parse(part, "--width", "0")
    with pytest.raises(Exception, match="No such option: --height"):
        parse(part, "--height", "8")


@pytest.mark.parametrize("command", ["transcribe", "evaluate", "stream"])
def test_every_command_has_the_options_of_connection_and_decoder(run: Run, command: str) -> None:
    shown = run(command, "-h").out
    names = ["--url", "--model", "--timeout", "--tls", "--tls-ca", "--tls-cert", "--tls-key", "--header"]
    names += ["--decoder", "--beam-width", "--lm-weight", "--word-score", "--hotwords", "--hotwords-file"]
    assert [name for name in names if f"{name} " not in shown and f"{name}\n" not in shown] == []
    assert ("--protocol" in shown) == (command != "stream")


def test_groups_are_their_defaults() -> None:
    assert connection.Connection() == connection.DEFAULT
    assert decoding.DEFAULT.options().parameters() == {}
