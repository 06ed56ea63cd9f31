"""Options that several commands share. A dataclass defines them once: each of its fields is an option."""

import inspect
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints


class Without:
    """Names options of a group that a command does not have. They keep their default values.

    `server: Annotated[Connection, Without("protocol")]` is a parameter of such a command.
    """

    def __init__(self, *names: str) -> None:
        self.names = names


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with an option for each field of its dataclass parameters.

    Typer takes the options from a function's parameters. Otherwise each command would repeat the options of a group.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type[Any], list[Field[Any]]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        group, left_out = _group(hints[name])
        if group is None:
            parameters.append(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]),
            )
            continue
        own = [field for field in fields(group) if field.name not in left_out]
        groups[name] = group, own
        types = get_type_hints(group, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name]
            )
            for field in own
        ]

    @wraps(command)
    def flat(**given: Any) -> None:
        for name, (group, own) in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in own})
        command(**given)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat


def _group(hint: Any) -> tuple[type[Any] | None, tuple[str, ...]]:
    """Return the dataclass of a parameter (None if it has none), and the fields that it leaves out."""
    left_out: tuple[str, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        left_out = tuple(name for note in notes if isinstance(note, Without) for name in note.names)
    return (hint, left_out) if isinstance(hint, type) and is_dataclass(hint) else (None, ())
