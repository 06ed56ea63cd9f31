"""The fields of a JSON object that a stranger sent: read one by one, and checked."""

from collections.abc import Mapping
from typing import Any, TypeVar

from asr_gateway.errors import ApiError, invalid

_MOST_TEXT = 32 * 2**10  # characters; Whisper takes some 200 tokens of a prompt
_MOST_TEXTS = 200
_KINDS = {dict: "an object", list: "a list", type(None): "null"}

_Choice = TypeVar("_Choice", bound=str)


class Fields:
    """A JSON object and its name.

    A field that is not there and one that is null are the same to all methods but `in`.

    Args:
        values: of the object.
        name: of the object in error messages; "" for the outermost.
    """

    def __init__(self, values: Mapping[str, Any], name: str = "") -> None:
        self._values = values
        self._name = name

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def path(self, name: str) -> str:
        """Return the name of a field in error messages."""
        return f"{self._name}.{name}" if self._name else name

    def value(self, name: str) -> Any:
        """Return what a field holds."""
        return self._values.get(name)

    def object(self, name: str) -> "Fields | None":
        """Return the object in a field.

        Raises:
            ApiError: it is something else.
        """
        value = self.value(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong(self.path(name), value, "an object")
        return Fields(value, self.path(name))

    def text(self, name: str) -> str | None:
        """Return the text in a field, without white space around it.

        Raises:
            ApiError: it is something else, too long, or no text that can be sent on.
        """
        value = self.value(name)
        return None if value is None else _text(self.path(name), value)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return the texts in a field that holds a list, without empty ones.

        Raises:
            ApiError: it is something else, or too long.
        """
        value = self.value(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise wrong(self.path(name), value, "a list of texts")
        if len(value) > _MOST_TEXTS:
            raise ApiError(
                400,
                "invalid_value",
                f"{self.path(name)} has {len(value)} texts; needs {_MOST_TEXTS} at most",
                param=self.path(name),
            )
        return tuple(filter(None, (_text(f"{self.path(name)}[{place}]", one) for place, one in enumerate(value))))

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return the number in a field.

        Raises:
            ApiError: it is none, or out of range.
        """
        value = self.value(name)
        if value is None:
            return None
        # A bool is an int to Python.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise wrong(self.path(name), value, f"a number from {low:g} to {high:g}")
        return value

    def whole_number(self, name: str, low: int, high: int) -> int | None:
        """Return the whole number in a field.

        Raises:
            ApiError: it is none, or out of range.
        """
        value = self.number(name, low, high)
        if value is not None and value != int(value):
            raise wrong(self.path(name), value, f"a whole number from {low} to {high}")
        return None if value is None else int(value)

    def choice(self, name: str, values: tuple[_Choice, ...]) -> _Choice | None:
        """Return the value in a field that may hold only these.

        Raises:
            ApiError: it is another one.
        """
        value = self.value(name)
        if value is None:
            return None
        for known in values:
            if value == known:
                return known
        raise wrong(self.path(name), value, f"one of {', '.join(values)}")


def wrong(path: str, value: object, needed: str) -> ApiError:
    """Return the error for a field whose value is not valid. Objects and lists may be huge, and are not shown."""
    kind = _KINDS.get(type(value))
    if kind is None:
        return invalid(path, value[:100] if isinstance(value, str) else value, needed)
    return ApiError(400, "invalid_value", f"{path} is {kind}; needs {needed}", param=path)


def _text(path: str, value: object) -> str:
    if not isinstance(value, str):
        raise wrong(path, value, "text")
    if len(value) > _MOST_TEXT:
        message = f"{path} has {len(value)} characters; needs {_MOST_TEXT} at most"
        raise ApiError(400, "invalid_value", message, param=path)
    # JSON can escape halves of characters, which no other encoding has.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise wrong(path, value, "text in Unicode")
    return value.strip()
