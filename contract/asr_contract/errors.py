"""The codes of the service's errors, and their way to the client.

Triton gives a client a status and a text; within a stream it gives only the text. So the text begins with our code:
"AUDIO_TOO_LONG: audio is too long: 61.00 s …". Programs act on the code; the words are for people.
"""

import re
from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """The reason why a request failed."""

    INVALID_AUDIO = "INVALID_AUDIO"  # not audio, cut short, too short, NaN …
    AUDIO_TOO_LONG = "AUDIO_TOO_LONG"  # for this model; the model for long recordings may take it
    INVALID_PARAMETER = "INVALID_PARAMETER"  # a request parameter that is unknown or malformed
    INVALID_REQUEST = "INVALID_REQUEST"  # tensors of another shape, and the like
    UNKNOWN_SEQUENCE = "UNKNOWN_SEQUENCE"  # a piece of a sequence that was never begun, or was given up
    QUEUE_FULL = "QUEUE_FULL"  # the server has as much work as it accepts; try again
    STOPPING = "STOPPING"  # the server is about to stop; try another one, or again
    MODEL_FAILED = "MODEL_FAILED"  # a model or its code failed
    CANCELLED = "CANCELLED"  # the caller went away before the answer was there

    @property
    def status(self) -> str:
        """Return the gRPC status that belongs to this code."""
        return _STATUS.get(self, "INVALID_ARGUMENT")


_STATUS = {
    ErrorCode.QUEUE_FULL: "UNAVAILABLE",
    ErrorCode.STOPPING: "UNAVAILABLE",
    ErrorCode.MODEL_FAILED: "INTERNAL",
    ErrorCode.CANCELLED: "CANCELLED",
}


class ServiceError(ValueError):
    """A request that gets no transcript; the message is for the person who sent it."""

    code: ClassVar[ErrorCode] = ErrorCode.MODEL_FAILED


class AudioError(ServiceError):
    """The recording cannot be used."""

    code = ErrorCode.INVALID_AUDIO


class AudioTooLong(AudioError):
    """The recording is longer than this model takes; `too_long` makes one that tells the limit."""

    code = ErrorCode.AUDIO_TOO_LONG


class ParameterError(ServiceError):
    """A request parameter is unknown or malformed; the message names the valid choices."""

    code = ErrorCode.INVALID_PARAMETER


class RequestError(ServiceError):
    """The tensors of a request do not fit the model."""

    code = ErrorCode.INVALID_REQUEST


class SequenceError(ServiceError):
    """A piece of a sequence cannot be taken."""

    code = ErrorCode.UNKNOWN_SEQUENCE


class QueueFull(ServiceError):
    """The server has as much work as it accepts."""

    code = ErrorCode.QUEUE_FULL


class Stopping(ServiceError):
    """The server is about to stop."""

    code = ErrorCode.STOPPING


class Cancelled(ServiceError):
    """The caller no longer waits for the answer."""

    code = ErrorCode.CANCELLED


class ModelFailed(ServiceError):
    """A model or its code failed."""


_LIMIT = re.compile(r"this model takes up to (\d+(?:\.\d+)?(?:e[+-]\d+)?) s")


def too_long(found: str, limit_s: float, advice: str = "") -> AudioTooLong:
    """Return the error of a recording that is too long, from whose message `limit_of` reads the limit.

    Args:
        found: how long it is, such as "61.00 s".
        limit_s: the longest recording that the model takes, in seconds.
        advice: what the caller can do.
    """
    what_to_do = f": {advice}" if advice else ""
    return AudioTooLong(f"audio is too long: {found}; this model takes up to {limit_s:g} s{what_to_do}")


def limit_of(message: str) -> float | None:
    """Return the limit in the message of `too_long`, in seconds; None if it tells none."""
    found = _LIMIT.search(message)
    return float(found[1]) if found else None


_CHANNELS = re.compile(r"the recording has (\d+) channels?;")


def other_channels(found: int, needed: str) -> AudioError:
    """Return the error of a recording that has other channels than asked for; `channels_of` reads their number.

    Args:
        found: how many channels it has.
        needed: what was asked for, such as "channel=2 needs 3 or more".
    """
    return AudioError(f"the recording has {found} channel{'s' if found > 1 else ''}; {needed}")


def channels_of(message: str) -> int | None:
    """Return how many channels the recording has by the message of `other_channels`; None if it tells nothing."""
    found = _CHANNELS.search(message)
    return int(found[1]) if found else None


# Triton puts its own words before a message: "in ensemble 'asr', …".
_CODED = re.compile(rf"(?:^|[\s,\]])({'|'.join(ErrorCode)}): (.*)", re.DOTALL)


def encode(error: Exception) -> tuple[ErrorCode, str]:
    """Return the code of an exception, and the text that carries it to the client.

    An exception that is not a `ServiceError` is unexpected: its code is MODEL_FAILED and its text is its `repr`.
    """
    if isinstance(error, ServiceError):
        return error.code, f"{error.code}: {error}"
    return ErrorCode.MODEL_FAILED, f"{ErrorCode.MODEL_FAILED}: {error!r}"


def decode(message: str) -> tuple[ErrorCode | None, str]:
    """Return the code in a server's message, or None if it has none of ours, and the text without the code."""
    found = _CODED.search(message)
    return (ErrorCode(found[1]), found[2]) if found else (None, message)


def raised(message: str) -> ServiceError:
    """Return the exception that another model's message describes, so that its code reaches the client."""
    code, text = decode(message)
    kinds = {kind.code: kind for kind in _subclasses(ServiceError)}
    return kinds.get(code or ErrorCode.MODEL_FAILED, ModelFailed)(text)


def _subclasses(kind: type[ServiceError]) -> list[type[ServiceError]]:
    return [found for below in kind.__subclasses__() for found in (below, *_subclasses(below))]
