"""What callers are told when something goes wrong, and what only the log says."""

import logging
from collections.abc import Iterator

import asr_client
import pytest
from asr_client import AsrError, Transcription
from asr_client._calls.protocol import Infer
from gateway_app import Service, service

SECRET = "10.0.0.7:8001 says: /models/asr/1/model.py"
STATUS = {
    "AccessDenied": (502, "server_refused"),
    "AudioTooLong": (400, "audio_too_long"),
    "ClientClosed": (503, "server_unavailable"),
    "DeadlineExceeded": (504, "timeout"),
    "InvalidRequest": (400, "invalid_audio"),
    "MessageTooLarge": (413, "file_too_large"),
    "ModelMismatch": (404, "model_not_found"),
    "ModelNotFound": (404, "model_not_found"),
    "OptionRefused": (400, "unsupported_value"),
    "QueueFull": (503, "server_overloaded"),
    "RequestInterrupted": (503, "request_interrupted"),
    "ServerError": (500, "server_error"),
    "ServerUnavailable": (503, "server_unavailable"),
    "StreamLost": (503, "request_interrupted"),
}


@pytest.fixture
def failing() -> Iterator[tuple[Service, list[Exception]]]:
    """The app, and the error that its server raises."""
    errors: list[Exception] = []

    def fail(request: Infer) -> Transcription:
        raise errors[0]

    with service(fail) as called:
        yield called, errors


@pytest.mark.parametrize("name", STATUS)
def test_errors_of_the_client(
    failing: tuple[Service, list[Exception]], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    called, errors = failing
    kind: type[AsrError] = getattr(asr_client, name)
    errors.append(kind(SECRET))
    with caplog.at_level(logging.INFO, "asr_gateway"):
        answer = called.post()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == STATUS[name]
    assert error["type"] == ("server_error" if answer.status_code >= 500 else "invalid_request_error")
    for part in ("10.0.0.7", "8001", "/models"):
        assert part not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert SECRET in caplog.text


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ("language is 'klingon'; needs auto or one of …", "language"),
        ("prompt 'x' holds a special token", "prompt"),
        ("lm_weight given, but this model has no language model", None),
        ("hotwords holds 3000 words", None),  # of keywords, of the prompt, or of both
    ],
)
def test_a_field_that_the_model_refuses_is_named(
    failing: tuple[Service, list[Exception]], said: str, param: str | None
) -> None:
    called, errors = failing
    errors.append(asr_client.OptionRefused.for_anybody(said))
    error = called.post().json()["error"]
    assert (error["code"], error["param"], error["message"]) == ("unsupported_value", param, said)


def test_a_server_that_may_come_back_says_when(failing: tuple[Service, list[Exception]]) -> None:
    called, errors = failing
    errors.append(asr_client.ServerUnavailable(SECRET))
    assert called.post().headers["retry-after"] == "2"


def test_a_request_that_took_too_long_is_not_sent_again(failing: tuple[Service, list[Exception]]) -> None:
    called, errors = failing
    errors.append(asr_client.DeadlineExceeded(SECRET))
    assert called.post().headers["x-should-retry"] == "false"


def test_a_bug_is_an_answer_and_a_traceback_in_the_log(
    failing: tuple[Service, list[Exception]], caplog: pytest.LogCaptureFixture
) -> None:
    called, errors = failing
    errors.append(RuntimeError(SECRET))
    answer = called.post()
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (500, "internal_error", "server_error")
    assert answer.headers["x-request-id"] in error["message"]
    assert "10.0.0.7" not in answer.text
    assert "Traceback" in caplog.text
    assert SECRET in caplog.text


def test_what_the_recording_lacks_is_said(called: Service) -> None:
    empty = called.http.post("/v1/audio/transcriptions", files={"file": ("a.wav", b"")})
    error = empty.json()["error"]
    assert (empty.status_code, error["param"]) == (400, "file")
    assert "empty" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/chat/completions", 404, "unknown_url"),
        ("GET", "/v1", 404, "unknown_url"),
        ("GET", "/v1/audio/transcriptions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/asr", 405, "method_not_allowed"),
    ],
)
def test_urls_that_are_not_there(called: Service, method: str, path: str, status: int, code: str) -> None:
    answer = called.http.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert ("allow" in answer.headers) == (status == 405)


def test_a_request_keeps_the_id_that_a_proxy_gave_it(called: Service) -> None:
    assert called.http.get("/health", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a;b"])
def test_any_other_id_is_replaced(called: Service, given: str) -> None:
    answer = called.http.get("/health", headers={"x-request-id": given})
    assert answer.headers["x-request-id"].startswith("req_")
