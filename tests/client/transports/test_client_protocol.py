"""Answers that make no sense, and exceptions of the layers below."""

from typing import Any

import numpy as np
import pytest
from asr_client import AsrError, ClientClosed, DeadlineExceeded, DecodeOptions, ServerError, ServerUnavailable
from asr_client._audio import Payload
from asr_client._calls.protocol import infer, transcription
from asr_client._transports.base import Endpoint
from asr_client._transports.errors import translate

REQUEST = infer("asr", "", Payload(b"RIFF", "file"), DecodeOptions(word_timestamps=True))
ENDPOINT = Endpoint("host:1", "grpc", None, {}, 1000)


def tensors(**changes: Any) -> dict[str, Any]:
    good = {
        "TRANSCRIPT": np.array([["a"]], dtype=np.object_),
        "CONFIDENCE": np.array([[0.5]], dtype=np.float32),
        "DURATION": np.array([[1.0]], dtype=np.float32),
        "WORDS": np.array([[b"[]"]], dtype=np.object_),
    }
    good["TRANSCRIPT"][0, 0] = b"a"
    return {**good, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TRANSCRIPT": None}, "gave no output TRANSCRIPT"),
        ({"CONFIDENCE": np.zeros((1, 0), np.float32)}, r"CONFIDENCE of shape \[1, 0\]; needs one element.*numpy 2"),
        ({"DURATION": np.zeros((2, 1), np.float32)}, r"DURATION of shape \[2, 1\]; needs one element$"),
        ({"TRANSCRIPT": np.array([[b"\xff"]], np.object_)}, "malformed answer: UnicodeDecodeError"),
        ({"TRANSCRIPT": np.array([[1.0]])}, "malformed answer"),
        ({"WORDS": np.array([[b"{"]], np.object_)}, "malformed answer: JSONDecodeError"),
        ({"WORDS": np.array([[b'[{"word": "a"}]']], np.object_)}, "malformed answer: KeyError"),
        ({"WORDS": np.array([[b"[1]"]], np.object_)}, "malformed answer: TypeError"),
        ({"SEGMENTS": np.array([[b'[{"text": "a"}]']], np.object_)}, "malformed answer: KeyError"),
    ],
)
def test_malformed_answers_are_server_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ServerError, match=message):
        transcription(REQUEST, tensors(**changes))


def test_answer_without_words_is_a_transcription_without_words() -> None:
    assert transcription(REQUEST, tensors()).words == ()


class Foreign(Exception):
    """As tritonclient's exception: `status()` and `message()`."""

    def __init__(self, status: str | None, message: str) -> None:
        super().__init__(f"[{status}] {message}")
        self.status = lambda: status
        self.message = lambda: message


@pytest.mark.parametrize(
    ("foreign", "error", "message"),
    [
        (TimeoutError(), DeadlineExceeded, "^no answer from the gRPC server at host:1 within 2 s$"),
        (ConnectionResetError("reset"), ServerUnavailable, "cannot talk to the gRPC server at host:1: reset"),
        (RuntimeError("Session is closed"), ClientClosed, "is closed"),
        (ValueError("Cannot invoke RPC on closed channel!"), ClientClosed, "is closed"),
        (KeyError("x"), ServerError, r"failed: KeyError\('x'\)"),
        (Foreign(None, "odd"), ServerError, "odd"),
        (Foreign("418", "teapot"), ServerError, "teapot"),
        (Foreign("StatusCode.CANCELLED", ""), ServerUnavailable, "host:1: no details given"),
        (Foreign("502", "bad gateway"), ServerUnavailable, "bad gateway"),
        (Foreign("504", "gateway timeout"), DeadlineExceeded, "host:1 within 2 s: gateway timeout$"),
        (
            Foreign("StatusCode.INTERNAL", "Failed to process, message: Boom\n\nAt:\n  model.py(1): execute\n"),
            ServerError,
            "message: Boom$",
        ),
    ],
)
def test_foreign_exceptions_become_ours(foreign: Exception, error: type[AsrError], message: str) -> None:
    with pytest.raises(error, match=message):
        raise translate(foreign, ENDPOINT, 2.0)


def test_an_attempt_without_a_limit_has_no_seconds_to_name() -> None:
    error = translate(TimeoutError(), ENDPOINT)
    assert str(error) == "no answer from the gRPC server at host:1 in time"
    assert error.public == "no answer in time"


def test_sizes_of_a_grpc_refusal_are_read() -> None:
    refused = Foreign("StatusCode.RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (70 vs. 40)")
    error = translate(refused, ENDPOINT)
    assert (error.size_bytes, error.limit_bytes) == (70, 40)
