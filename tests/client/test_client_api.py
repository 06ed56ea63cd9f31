"""What users may rely on, and what importing costs them."""

import asyncio
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import asr_client
import pytest
from asr_client import (
    AsrError,
    AsyncClient,
    AudioTooLong,
    Client,
    DecodeOptions,
    InvalidAudio,
    InvalidOption,
    MessageTooLarge,
    RetryPolicy,
    StreamResult,
    Tls,
    Transcription,
    _errors,
)
from asr_client._calls.protocol import Infer, Operation, Piece
from asr_client.testing import MockTransport


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_exported_names() -> None:
    assert asr_client.__all__ == [
        "FLUSH",
        "AccessDenied",
        "Alternative",
        "AsrError",
        "AsyncClient",
        "Audio",
        "AudioTooLong",
        "Client",
        "ClientClosed",
        "DeadlineExceeded",
        "DecodeOptions",
        "Flush",
        "InvalidAudio",
        "InvalidManifest",
        "InvalidOption",
        "InvalidRequest",
        "MessageTooLarge",
        "ModelInfo",
        "ModelMismatch",
        "ModelNotFound",
        "OptionRefused",
        "Outcome",
        "ProcessForked",
        "QueueFull",
        "RequestInterrupted",
        "RetryPolicy",
        "Segment",
        "ServerError",
        "ServerUnavailable",
        "StreamLost",
        "StreamResult",
        "Tls",
        "Transcription",
        "Word",
    ]


def test_every_error_is_exported_and_in_the_documented_tree() -> None:
    errors = {name for name, value in vars(_errors).items() if inspect.isclass(value) and issubclass(value, AsrError)}
    assert errors <= set(asr_client.__all__)
    assert all(name in (_errors.__doc__ or "") for name in errors)


def test_clients_have_the_same_methods_and_arguments() -> None:
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert methods == {name for name in vars(AsyncClient) if not name.startswith("_")} - {"aclose"}
    for name in methods:
        sync, asynchronous = (inspect.signature(getattr(client, name)) for client in (Client, AsyncClient))
        assert list(sync.parameters) == list(asynchronous.parameters)
        assert [parameter.default for parameter in sync.parameters.values()] == [
            parameter.default for parameter in asynchronous.parameters.values()
        ]


def test_importing_the_client_is_light() -> None:
    loaded = run_python(
        "import sys, asr_client\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'locust', 'numpy', 'tritonclient', 'grpc', 'gevent'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_request_loads_no_more_than_its_protocol_and_patches_nothing(protocol: str) -> None:
    out = run_python(
        "import sys, asr_client\n"
        f"asr_client.Client('localhost:9', protocol='{protocol}').server_ready()\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'locust', 'jiwer', 'typer', 'tqdm'}\n"
        "print(sorted(heavy & set(sys.modules)), 'tritonclient.grpc' in sys.modules)\n"
        "import gevent.monkey\n"
        "print(gevent.monkey.saved)"
    )
    assert out.splitlines() == [f"[] {protocol == 'grpc'}", "{}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "http://host:8000/"}, r"without a scheme: Client\('host:8000', protocol='http'\)"),
        ({"url": "https://host"}, r"Client\('host', protocol='http', tls=True\)"),
        ({"url": "grpc://host:1"}, r"Client\('host:1', protocol='grpc'\)"),
        ({"url": ""}, "needs HOST:PORT"),
        ({"url": "a b"}, "needs HOST:PORT"),
        ({"protocol": "ftp"}, "protocol is 'ftp'; needs one of grpc, http"),
        ({"timeout_s": 0}, "timeout_s is 0; needs seconds above 0"),
        ({"timeout_s": float("nan")}, "timeout_s is nan"),
        ({"max_message_bytes": 10}, "max_message_bytes is 10; needs more than 4096"),
        ({"max_message_bytes": 2**31}, "less than 2 GiB"),
    ],
)
def test_options_that_make_no_client(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Client(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RetryPolicy(max_attempts=0), "max_attempts is 0"),
        (lambda: RetryPolicy(first_backoff_s=9), "needs 0 <= first_backoff_s <= max_backoff_s"),
        (lambda: RetryPolicy(budget=-1), "budget is -1"),
        (lambda: Tls(cert_file="cert.pem"), "needs both cert_file and key_file"),
        (lambda: Tls(ca_file="missing.pem"), "TLS file not found: missing.pem"),
    ],
)
def test_options_that_cannot_be(make: object, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        make()


def test_bad_tls_file_is_reported_by_the_first_request(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    with Client("localhost:9", protocol="http", tls=Tls(ca_file=file)) as client, pytest.raises(AsrError, match="HTTP"):
        client.transcribe(b"RIFF")


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(MessageTooLarge("too large", size_bytes=5, limit_bytes=4)))
    assert (str(error), error.size_bytes, error.limit_bytes) == ("too large", 5, 4)


def test_invalid_options_are_value_errors() -> None:
    assert issubclass(InvalidOption, ValueError)


def test_format_may_not_be_given_twice() -> None:
    with (
        Client(transport=MockTransport(lambda request: Transcription("", 1, 1))) as client,
        pytest.raises(InvalidAudio, match="given twice"),
    ):
        client.transcribe(asr_client.Audio(b"\0\0", 8000, "pcm_s16le"), sampling_rate=8000)


def test_default_decode_options_are_not_sent() -> None:
    assert DecodeOptions().parameters() == {}
    assert DecodeOptions(word_timestamps=True).parameters() == {"word_timestamps": True}


def test_mock_transport_serves_tests_without_a_server() -> None:
    with Client(transport=MockTransport(lambda request: Transcription("hi", 0.5, 2.0))) as client:
        assert client.transcribe(b"RIFF") == Transcription("hi", 0.5, 2.0)
        assert client.server_ready()
        assert client.model_ready()
        client.check_model()


def test_mock_transport_takes_long_recordings() -> None:
    asked: list[tuple[str, int]] = []

    def handler(request: Infer) -> Transcription:
        asked.append((request.model, len(request.audio)))
        if request.model == "asr" and len(request.audio) > 100:
            raise AudioTooLong("audio is too long: 90 s or more; this model takes up to 40 s")
        return Transcription("hi", 0.5, 2.0)

    segments: list[Transcription] = []
    with Client(transport=MockTransport(handler), max_message_bytes=10_000) as client:
        assert client.transcribe(bytes(200), on_segment=segments.append).text == "hi"  # too long for the model
        assert client.transcribe(bytes(20_000)).text == "hi"  # too large for a message
    assert asked == [("asr", 200), ("asr_long", 200), ("asr_long", 20_000)]
    assert [segment.text for segment in segments] == ["hi"]


def test_mock_transport_takes_live_streams() -> None:
    def live(piece: Piece) -> list[StreamResult]:
        seconds = len(piece.audio) / 2 / 16_000
        final = StreamResult("hello", True, "hello", seconds, 0.0, 0.5, 0.75)
        return [final] if piece.is_last else [StreamResult("hell", False, "", seconds, start=0.25)]

    transport = MockTransport(lambda request: Transcription("hi", 0.5, 2.0), live)
    with Client(transport=transport) as client:
        results = list(client.stream([bytes(16_000)], sampling_rate=16_000))
    assert [(result.text, result.is_final, result.start, result.end) for result in results] == [
        ("hell", False, 0.25, None),
        ("hello", True, 0.0, 0.5),
    ]

    async def ask() -> list[StreamResult]:
        async with AsyncClient(transport=transport.asynchronous()) as client:
            return [result async for result in client.stream([bytes(16_000)], sampling_rate=16_000)]

    assert asyncio.run(ask()) == results
    with (
        Client(transport=MockTransport(lambda request: Transcription("hi", 0.5, 2.0))) as client,
        pytest.raises(InvalidOption, match=r"MockTransport\(handler, live=…\)"),
    ):
        list(client.stream([bytes(16_000)], sampling_rate=16_000))


def test_mock_transport_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="unknown operation"):
        MockTransport(lambda request: Transcription("hi", 0.5, 2.0)).send(Operation(), None)
