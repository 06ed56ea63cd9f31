"""OpenAI's protocol in bytes: addresses, forms, transcripts and errors."""

import asyncio
import json

import pytest
from asr_client import AsrError, InvalidOption, ServerError
from asr_gateway.forms import parse
from asr_loadtest.openai.endpoint import KEY_VARIABLE, Endpoint
from asr_loadtest.openai.messages import Form, failure, owner, transcription
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser


@pytest.mark.parametrize(
    ("url", "api", "address"),
    [
        (None, "http://127.0.0.1:8080/v1", "127.0.0.1:8080"),
        ("http://localhost:9", "http://localhost:9/v1", "localhost:9"),
        ("http://localhost:9/v1/", "http://localhost:9/v1", "localhost:9"),
        ("https://example.com/stt", "https://example.com:443/stt/v1", "example.com:443"),
        ("http://[::1]:9", "http://[::1]:9/v1", "[::1]:9"),
        ("http://bücher.example", "http://xn--bcher-kva.example:80/v1", "xn--bcher-kva.example:80"),
    ],
)
def test_addresses(url: str | None, api: str, address: str) -> None:
    endpoint = Endpoint.at(url, "asr", 60)
    assert (endpoint.api, endpoint.address) == (api, address)
    assert endpoint.is_encrypted == api.startswith("https:")


@pytest.mark.parametrize(
    "url", ["localhost:9", "127.0.0.1", "ftp://a", "http://", "http://a:0x", "http://a/?b", "http://b@a"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidOption, match="needs http://HOST:PORT"):
        Endpoint.at(url, "asr", 60)


def test_the_key_is_in_the_environment_and_a_header_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert Endpoint.at(None, "asr", 60).headers == {}
    monkeypatch.setenv(KEY_VARIABLE, "sk-1")
    assert Endpoint.at(None, "asr", 60).headers == {"authorization": "Bearer sk-1"}
    given = {"Authorization": "Basic x", "X-Trace": "7"}
    assert Endpoint.at(None, "asr", 60, given).headers == {"authorization": "Basic x", "x-trace": "7"}


def test_tls_needs_https() -> None:
    with pytest.raises(InvalidOption, match="needs https://"):
        Endpoint.at("http://localhost:9", "asr", 60, tls=True)


def test_a_gateway_reads_the_form() -> None:
    form = Form("whisper-ü")
    audio = bytes(range(256)) * 10

    async def read() -> None:
        async def body():  # type: ignore[no-untyped-def]
            for part in form.parts(audio):
                yield part

        data = await MultiPartParser(Headers({"content-type": form.content_type}), body()).parse()
        found = parse(data)
        assert (found.model, found.format, found.audio.read()) == ("whisper-ü", "json", audio)
        await data.close()

    asyncio.run(read())


def test_a_transcript() -> None:
    body = json.dumps({"text": "HELLO", "usage": {"type": "duration", "seconds": 2}}).encode()
    found = transcription(200, body)
    assert (found.text, found.duration) == ("HELLO", 2.0)
    assert transcription(200, b'{"text": ""}').text == ""


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"text": "a", "usage": 3}', b'{"text":"a","usage":null}']
)
def test_an_answer_that_is_no_transcript(body: bytes) -> None:
    with pytest.raises(ServerError, match="no transcript"):
        transcription(200, body)


def error(code: str) -> bytes:
    return json.dumps({"error": {"message": "no", "type": "t", "param": None, "code": code}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (429, error("too_many_requests"), "QueueFull"),
        (429, error("rate_limit_exceeded"), "QueueFull"),
        (503, error("server_overloaded"), "QueueFull"),
        (503, b"<html>", "QueueFull"),
        (503, error("server_unavailable"), "ServerUnavailable"),
        (503, error("request_interrupted"), "RequestInterrupted"),
        (502, error("server_refused"), "AccessDenied"),
        (502, b"bad gateway", "ServerUnavailable"),
        (504, error("timeout"), "DeadlineExceeded"),
        (401, error("invalid_api_key"), "AccessDenied"),
        (404, error("model_not_found"), "ModelNotFound"),
        (400, error("invalid_audio"), "InvalidRequest"),
        (400, error("audio_too_long"), "AudioTooLong"),
        (413, error("file_too_large"), "MessageTooLarge"),
        (500, b'{"error": "why"}', "ServerError"),
        (418, b"", "ServerError"),
    ],
)
def test_errors_are_the_client_s(status: int, body: bytes, name: str) -> None:
    found = failure(status, body)
    assert type(found).__name__ == name
    assert str(found).startswith(f"HTTP {status}")
    for read in (transcription, owner):
        with pytest.raises(AsrError):
            read(status, body)


def test_a_long_page_is_cut() -> None:
    assert len(str(failure(500, b"x" * 10_000))) < 300
