"""The type of a result: the struct that a row of the output column holds, for Arrow and for Spark."""

from dataclasses import asdict, dataclass

import pyarrow as pa
from asr_client import Transcription

_WORD = "struct<word: string, start: double, end: double, confidence: double>"
_ALTERNATIVE = "struct<text: string, score: double>"
_FIELDS = {
    "text": "string",
    "confidence": "double",
    "duration": "double",
    "language": "string",
    "words": f"array<{_WORD}>",
}
_ERROR = "struct<type: string, message: string>"

_ARROW_WORD = pa.struct(
    [("word", pa.string()), ("start", pa.float64()), ("end", pa.float64()), ("confidence", pa.float64())]
)
_ARROW_ALTERNATIVE = pa.struct([("text", pa.string()), ("score", pa.float64())])
_ARROW_FIELDS = {
    "text": pa.string(),
    "confidence": pa.float64(),
    "duration": pa.float64(),
    "language": pa.string(),
    "words": pa.list_(_ARROW_WORD),
}
_ARROW_ERROR = pa.struct([("type", pa.string()), ("message", pa.string())])


@dataclass(frozen=True)
class Failure:
    """The error of a recording: the name of its class in `asr_client`, and its message."""

    type: str
    message: str


# A row of the output column: a transcript, an error, or None for a row without a recording.
Result = Transcription | Failure | None


def ddl(*, alternatives: bool) -> str:
    """Return the type of the output column, as Spark writes types.

    Args:
        alternatives: whether there is a field for the other likely texts of a recording.
    """
    names = dict(_FIELDS)
    if alternatives:
        names["alternatives"] = f"array<{_ALTERNATIVE}>"
    names["error"] = _ERROR
    return f"struct<{', '.join(f'{name}: {kind}' for name, kind in names.items())}>"


def arrow_type(*, alternatives: bool) -> pa.DataType:
    """Return the same type for Arrow."""
    names = dict(_ARROW_FIELDS)
    if alternatives:
        names["alternatives"] = pa.list_(_ARROW_ALTERNATIVE)
    names["error"] = _ARROW_ERROR
    return pa.struct(list(names.items()))


def array(results: list[Result], kind: pa.DataType) -> pa.Array:
    """Return the results as a struct array of this type."""
    return pa.array([_row(result) for result in results], kind)


def _row(result: Result) -> dict[str, object] | None:
    match result:
        case Transcription():
            return asdict(result) | {"error": None}  # Arrow takes the fields of its type alone
        case Failure():
            return {"error": asdict(result)}
        case _:
            return None
