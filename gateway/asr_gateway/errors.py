"""Errors as OpenAI's API words them: {"error": {"message", "type", "param", "code"}}, with a status and headers.

What a stranger may read of an error of the client is `AsrError.public`: no address, no path. The log has the rest.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asr_client import (
    AccessDenied,
    AsrError,
    AudioTooLong,
    ClientClosed,
    DeadlineExceeded,
    InvalidOption,
    InvalidRequest,
    MessageTooLarge,
    ModelMismatch,
    ModelNotFound,
    OptionRefused,
    QueueFull,
    RequestInterrupted,
    ServerUnavailable,
    StreamLost,
)


class GatewayError(Exception):
    """The gateway cannot start, or a file that it needs cannot be read; the message says what to do."""


class ApiError(Exception):
    """An answer that says what is wrong with a request, or with the service.

    Attributes:
        status: of HTTP.
        code: for programs; docs/gateway.md lists all of them.
        message: for people; it is shown to strangers.
        param: the field of the request that is wrong, where one is.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """Return the kind of error, in OpenAI's words."""
        if self.status >= 500:
            return "server_error"
        return "requests" if self.status == 429 else "invalid_request_error"

    def body(self) -> dict[str, Any]:
        """Return the JSON of the answer."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


def invalid(param: str, got: object, needed: str) -> ApiError:
    """Return the error for a field whose value is not valid."""
    return ApiError(400, "invalid_value", f"{param} is {_shown(got)}; needs {needed}", param=param)


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header that says when to try again: in whole seconds, at least one."""
    return {"retry-after": str(max(1, math.ceil(seconds)))}


@dataclass(frozen=True)
class _Answer:
    """How the gateway answers an error of the client."""

    status: int
    code: str
    param: str | None = None
    retry_after_s: float | None = None
    may_retry: bool = True  # False: OpenAI's SDK would send the request again, and again in vain


# The first that fits, so subclasses go before their parents.
_ANSWERS: tuple[tuple[type[AsrError], _Answer], ...] = (
    (OptionRefused, _Answer(400, "unsupported_value")),
    (AudioTooLong, _Answer(400, "audio_too_long", "file")),
    (InvalidRequest, _Answer(400, "invalid_audio", "file")),
    (InvalidOption, _Answer(400, "invalid_value")),
    (MessageTooLarge, _Answer(413, "file_too_large", "file")),
    (ModelNotFound, _Answer(404, "model_not_found", "model")),
    (ModelMismatch, _Answer(404, "model_not_found", "model")),
    (QueueFull, _Answer(503, "server_overloaded", retry_after_s=1)),
    (RequestInterrupted, _Answer(503, "request_interrupted", retry_after_s=2)),
    (ServerUnavailable, _Answer(503, "server_unavailable", retry_after_s=2)),
    (StreamLost, _Answer(503, "request_interrupted", retry_after_s=2)),
    (ClientClosed, _Answer(503, "server_unavailable", retry_after_s=2)),
    (DeadlineExceeded, _Answer(504, "timeout", may_retry=False)),
    (AccessDenied, _Answer(502, "server_refused", may_retry=False)),
)
_OTHER = _Answer(500, "server_error")
# Options that have the name of their field; a model that refuses the value of one says so first.
_FIELDS = ("language", "prompt")


def of_client(error: AsrError) -> ApiError:
    """Return the answer for an error of the client."""
    answer = next((answer for kind, answer in _ANSWERS if isinstance(error, kind)), _OTHER)
    headers = {} if answer.retry_after_s is None else retry_after(answer.retry_after_s)
    if not answer.may_retry:
        headers["x-should-retry"] = "false"
    param = _field(error) if isinstance(error, OptionRefused) else answer.param
    return ApiError(answer.status, answer.code, error.public, param=param, headers=headers)


def unexpected(request_id: str) -> ApiError:
    """Return the answer for a bug; the log has its traceback."""
    return ApiError(500, "internal_error", f"The gateway failed. Its log says why, at the request {request_id}.")


def _field(error: OptionRefused) -> str | None:
    """Return the field whose value a model has refused; None if the error does not name one."""
    name = error.public.partition(" ")[0]
    return name if name in _FIELDS else None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
