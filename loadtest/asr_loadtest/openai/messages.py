"""Requests and answers of OpenAI's protocol, as bytes: the form of a recording, a transcript, an error.

They are made and read by hand, because a generator has to be cheap: what it takes is load beside the one that it
measures, and the form of each recording differs from that of the next one in its audio alone.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from asr_client import (
    AccessDenied,
    AsrError,
    AudioTooLong,
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    ModelNotFound,
    OptionRefused,
    QueueFull,
    RequestInterrupted,
    ServerError,
    ServerUnavailable,
    Transcription,
)

# A code of the kit's gateway says more than the status does.
_BY_CODE: Mapping[str, type[AsrError]] = {
    "audio_too_long": AudioTooLong,
    "request_interrupted": RequestInterrupted,
    "server_refused": AccessDenied,
    "server_unavailable": ServerUnavailable,
    "unsupported_value": OptionRefused,
}
_BY_STATUS: Mapping[int, type[AsrError]] = {
    400: InvalidRequest,
    401: AccessDenied,
    403: AccessDenied,
    404: ModelNotFound,
    408: DeadlineExceeded,
    413: MessageTooLarge,
    415: InvalidRequest,
    422: InvalidRequest,
    429: QueueFull,
    502: ServerUnavailable,
    503: QueueFull,
    504: DeadlineExceeded,
}
_SHOWN = 200  # characters of an answer that is no JSON


class Form:
    """The form with which a model is asked for the transcript of any recording.

    Attributes:
        content_type: of the request.
    """

    def __init__(self, model: str) -> None:
        boundary = secrets.token_hex(16)  # no recording has it
        field = f'--{boundary}\r\nContent-Disposition: form-data; name="'
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._head = (
            f'{field}model"\r\n\r\n{model}\r\n'
            # The kit tells the format of a recording by its content, whatever its name.
            f'{field}file"; filename="recording.wav"\r\nContent-Type: application/octet-stream\r\n\r\n'
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    def parts(self, audio: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the body of the request for a recording, in parts, so that its audio is not copied."""
        return self._head, audio, self._tail


def transcription(status: int, body: bytes) -> Transcription:
    """Return the transcript in an answer. It has no confidence, and its duration is rounded up to whole seconds.

    Raises:
        AsrError: the answer is an error, or no transcript.
    """
    if status != 200:
        raise failure(status, body)
    try:
        answer = json.loads(body)
        return Transcription(str(answer["text"]), 0.0, float(answer.get("usage", {}).get("seconds", 0.0)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ServerError(f"the answer is no transcript: {_shown(body)}") from error


def owner(status: int, body: bytes) -> str:
    """Return who owns the model in an answer; "" if it does not say.

    Raises:
        AsrError: the answer is an error.
    """
    if status != 200:
        raise failure(status, body)
    return str(_object(body).get("owned_by", ""))


def failure(status: int, body: bytes) -> AsrError:
    """Return the client's error for an answer: 429 and 503 are refusals, `QueueFull`, unless their code says else."""
    told = _object(body).get("error")
    error: Mapping[str, Any] = told if isinstance(told, dict) else {}
    code = str(error.get("code") or "")
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status, ServerError)
    return kind(f"HTTP {status}{f' {code}' if code else ''}: {error.get('message') or _shown(body)}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _shown(body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
