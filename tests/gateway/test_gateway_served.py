"""OpenAI's own SDK against a gateway before a real Triton."""

import contextlib
import http.client
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gateway_service
import openai
import psutil
import pytest
from asr_client import Client, Transcription, formats
from asr_gateway.keys import add
from asr_server import TritonServer
from gateway_app import BOUNDARY, form
from gateway_service import Gateway
from gateway_speech import minutes_of

from tests.e2e.conftest import ROOT
from tests.e2e.test_cancellation import ALL, Windows
from tests.e2e.test_cancellation import recording as ninety_minutes

pytestmark = pytest.mark.e2e
SAMPLES = ROOT / "demo" / "samples"
QUILTER = SAMPLES / "quilter.wav"
GRANULARITIES: dict[str, dict[str, list[str]]] = {
    "none": {},
    "empty": {"timestamp_granularities": []},
    "word": {"timestamp_granularities": ["word"]},
    "segment": {"timestamp_granularities": ["segment"]},
    "both": {"timestamp_granularities": ["word", "segment"]},
}
silence = ninety_minutes  # the fixture, under a name that says more here


def sdk(gateway: Gateway, key: str = "any", **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.api, api_key=key, max_retries=0, **options)


@pytest.fixture(scope="module")
def gateway(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway_service.running(server.grpc_url, temporary=tmp_path_factory.mktemp("uploads")) as running:
        yield running


@pytest.fixture(scope="module")
def strict(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str, str]]:
    """A gateway with limits, and the keys of two callers."""
    file = tmp_path_factory.mktemp("gateway") / "keys"
    keys = [add(file, name) for name in ("alice", "bob")]
    with gateway_service.running(server.grpc_url, "--keys", file, "--max-upload-mb", 1, "--rate", 2) as running:
        yield running, keys[0], keys[1]


@pytest.fixture(scope="module")
def openai_client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with sdk(gateway) as client:
        yield client


@pytest.fixture(scope="module")
def heard(client: Client) -> Transcription:
    """What gRPC says of the recording."""
    return client.transcribe(QUILTER, word_timestamps=True)


def test_the_line_of_readiness_has_the_models(gateway: Gateway) -> None:
    assert gateway.ready.endswith("(models: asr)\n")


@pytest.mark.parametrize("granularities", GRANULARITIES.values(), ids=GRANULARITIES.keys())
@pytest.mark.parametrize("format", ["json", "text", "srt", "vtt", "verbose_json"])
def test_formats_and_granularities(
    openai_client: openai.OpenAI, heard: Transcription, format: Any, granularities: Any
) -> None:
    answer: Any = openai_client.audio.transcriptions.create(
        file=QUILTER, model="whisper-1", response_format=format, **granularities
    )
    if format in ("text", "srt", "vtt"):
        assert answer == formats.render(heard, "txt" if format == "text" else format)
        return
    assert answer.text == heard.text
    if format == "json":
        assert answer.usage.seconds == 6
        return
    asked = granularities.get("timestamp_granularities") or ["segment"]
    words = [(word.word, word.start, word.end) for word in answer.words or ()]
    assert words == [(word.word, word.start, word.end) for word in heard.words if "word" in asked]
    assert "".join(segment.text for segment in answer.segments or ()) == (heard.text if "segment" in asked else "")
    assert answer.duration == pytest.approx(heard.duration, abs=0.001)


def test_log_probs(openai_client: openai.OpenAI, heard: Transcription) -> None:
    answer = openai_client.audio.transcriptions.create(file=QUILTER, model="asr", include=["logprobs"])
    tokens = answer.logprobs
    assert tokens is not None
    assert "".join(token.token or "" for token in tokens) == answer.text
    assert len(tokens) == len(heard.words)


def test_keywords_are_heard(openai_client: openai.OpenAI) -> None:
    def text(**more: Any) -> str:
        file = SAMPLES / "radio.wav"
        return openai_client.audio.transcriptions.create(file=file, model="asr", **more).text

    plain = text()
    word = next(word for word in plain.split() if len(word) > 5)
    wanted = f"{word[:-1]}X" if word[-1] != "X" else f"{word[:-1]}Z"
    assert wanted in text(extra_body={"keywords": [f"{wanted}^50"]}).split()


def test_models(openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == ["asr"]
    assert openai_client.models.retrieve("whisper-1").id == "asr"


def joined(stream: Any) -> tuple[str, str]:
    """The deltas of a stream as one text, and the text of its end."""
    deltas, done = [], []
    for event in stream:
        (deltas if event.type == "transcript.text.delta" else done).append(event)
    assert len(done) == 1
    assert done[0].usage.type == "duration"
    return "".join(event.delta for event in deltas), done[0].text


@pytest.fixture(scope="module")
def minutes() -> bytes:
    """More than the model takes at once."""
    return minutes_of(3)


def test_a_stream_of_a_short_recording(openai_client: openai.OpenAI, heard: Transcription) -> None:
    with openai_client.audio.transcriptions.create(file=QUILTER, model="asr", stream=True) as stream:
        assert joined(stream) == (heard.text, heard.text)


@pytest.mark.parametrize("length_min", [6, pytest.param(60, marks=pytest.mark.timeout(900))])
def test_a_stream_of_a_long_recording(openai_client: openai.OpenAI, length_min: float) -> None:
    file = ("meeting.flac", minutes_of(length_min))
    whole = openai_client.audio.transcriptions.create(file=file, model="asr")
    with openai_client.audio.transcriptions.create(file=file, model="asr", stream=True) as stream:
        events = list(stream)
    assert len(events) > 2 * length_min
    assert joined(events) == (whole.text, whole.text)
    assert events[-1].usage.seconds == 60 * length_min


def test_subtitles_of_a_long_recording(openai_client: openai.OpenAI, client: Client, minutes: bytes) -> None:
    file = ("minutes.flac", minutes)
    answer: Any = openai_client.audio.transcriptions.create(file=file, model="asr", response_format="srt")
    assert answer == formats.render(client.transcribe(minutes, word_timestamps=True), "srt")


def is_answered(error: openai.APIStatusError, status: int, code: str) -> bool:
    assert (error.status_code, error.code) == (status, code)
    return bool(error.request_id and error.request_id.startswith("req_"))


def test_what_is_wrong_is_an_error_of_the_sdk(openai_client: openai.OpenAI) -> None:
    create = openai_client.audio.transcriptions.create
    with pytest.raises(openai.BadRequestError) as wrong:
        create(file=QUILTER, model="asr", response_format="xml")  # type: ignore[call-overload]
    assert is_answered(wrong.value, 400, "invalid_value")
    with pytest.raises(openai.BadRequestError, match="audio") as broken:
        create(file=("a.wav", b"this is no recording"), model="asr")
    assert is_answered(broken.value, 400, "invalid_audio")
    with pytest.raises(openai.NotFoundError) as missing:
        create(file=QUILTER, model="gpt-4o-transcribe")
    assert is_answered(missing.value, 404, "model_not_found")
    with pytest.warns(DeprecationWarning, match="deprecated"), pytest.raises(openai.BadRequestError) as translation:
        openai_client.audio.translations.create(file=QUILTER, model="whisper-1")
    assert is_answered(translation.value, 400, "unsupported_value")


def test_who_may_call_and_how_often(strict: tuple[Gateway, str, str], heard: Transcription) -> None:
    gateway, alice, _ = strict
    with sdk(gateway, "sk-wrong") as client, pytest.raises(openai.AuthenticationError) as unknown:
        client.audio.transcriptions.create(file=QUILTER, model="asr")
    assert is_answered(unknown.value, 401, "invalid_api_key")
    with sdk(gateway, alice) as client:
        for _ in range(2):
            assert client.audio.transcriptions.create(file=QUILTER, model="asr").text == heard.text
        with pytest.raises(openai.RateLimitError) as often:
            client.audio.transcriptions.create(file=QUILTER, model="asr")
    assert is_answered(often.value, 429, "rate_limit_exceeded")
    assert int(often.value.response.headers["retry-after"]) <= 60


def test_too_large_an_upload(strict: tuple[Gateway, str, str]) -> None:
    gateway, _, bob = strict
    with sdk(gateway, bob) as client, pytest.raises(openai.APIStatusError) as large:
        client.audio.transcriptions.create(file=("a.wav", bytes(2**21)), model="asr")
    assert is_answered(large.value, 413, "file_too_large")


def test_too_large_an_upload_in_chunks_takes_no_memory(strict: tuple[Gateway, str, str]) -> None:
    gateway, _, bob = strict
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=60)
    body = form(audio=bytes(64 * 2**20))
    pieces = (body[place : place + 2**18] for place in range(0, len(body), 2**18))
    headers = {"authorization": f"Bearer {bob}", "content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    connection.request("POST", "/v1/audio/transcriptions", pieces, headers, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert b'"file_too_large"' in answer.read()
    connection.close()
    assert process.memory_info().rss - before < 32 * 2**20


def with_padding(flac: bytes, size: int) -> bytes:
    """The same FLAC with a block that means nothing, so that it is too large to be kept in memory."""
    block = bytes([1 | flac[4] & 0x80]) + size.to_bytes(3, "big") + bytes(size)
    info = flac[:4] + bytes([flac[4] & 0x7F]) + flac[5:42]
    return info + block + flac[42:]


def open_files(gateway: Gateway, folder: Path) -> list[str]:
    """The files in a folder that the gateway holds; those without a name, too."""
    found = []
    for link in Path(f"/proc/{gateway.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed just now
            found.append(str(link.readlink()))
    return [file for file in found if file.startswith(str(folder))]


@pytest.mark.parametrize(("stream", "dies"), [("true", False), ("false", True)])
def test_a_caller_who_goes_ends_the_work(
    gateway: Gateway, server: TritonServer, silence: bytes, stream: str, dies: bool
) -> None:
    temporary = Path(psutil.Process(gateway.process.pid).environ()["TMPDIR"])
    windows = Windows(server)
    host, _, port = urlsplit(gateway.url).netloc.partition(":")
    body = form({"stream": stream}, audio=with_padding(silence, 2**21))
    head = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n"
        f"content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=60) as caller:
        caller.sendall(head.encode() + body)
        windows.begin()
        assert open_files(gateway, temporary)
        assert not list(temporary.iterdir())  # the upload has no name
        if dies:  # the system then resets the connection
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert windows.end() < ALL // 2
    assert not list(temporary.iterdir())
    assert not open_files(gateway, temporary)


def test_the_python_of_the_page(
    gateway: Gateway, heard: Transcription, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
    calls, live, app = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    exec(compile(calls.replace("http://127.0.0.1:8080", gateway.url), "gateway.md", "exec"), names)
    names["client"].close()
    first, *words, last = capsys.readouterr().out.splitlines()
    assert (first, last) == (heard.text, heard.text)
    assert [line.split()[2] for line in words] == [word.word for word in heard.words]
    exec(compile(live.replace("http://127.0.0.1:8080", gateway.url), "gateway.md", "exec"), names)
    names["client"].close()
    assert capsys.readouterr().out.split() == heard.text.split()
    exec(compile(app, "gateway.md", "exec"), names)
    assert callable(names["app"])
