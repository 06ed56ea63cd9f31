"""Which models a server has, and clients for several of them that share a connection."""

import asyncio
import copy
import json
import pickle

import pytest
from asr_client import (
    AccessDenied,
    AsyncClient,
    Client,
    ClientClosed,
    ModelInfo,
    ModelNotFound,
    RetryPolicy,
    ServerError,
    ServerUnavailable,
    StreamResult,
    Transcription,
    _fork,
)
from asr_client._calls import catalogue
from asr_client._calls.protocol import Answer, Infer, Operation, Piece
from asr_client._calls.steps import Run, Steps
from asr_client.testing import MockTransport
from client_caller import Caller
from command_line import Run as RunCommand
from fake_inference import HELLO, FakeTriton, serving

READY = ("asr", "asr_long", "asr_stream", "acoustic", "ctc_decode", "resnet", "whisper", "whisper_long", "unloaded")
ASR = ModelInfo("asr", takes_long=True, takes_streams=True, knows_languages=False)
WHISPER = ModelInfo("whisper", takes_long=True, takes_streams=False, knows_languages=True)


def index(*names: str) -> list[dict[str, str]]:
    return [{"name": name, "state": "READY"} for name in names]


def with_models(triton: FakeTriton) -> FakeTriton:
    triton.models = {"asr": "ctc", "whisper": "whisper", "resnet": "other"}
    triton.index = [*index(*reversed(READY)), {"name": "old", "state": "UNAVAILABLE"}]
    return triton


def test_a_server_says_which_models_it_has(triton: FakeTriton, call: Caller) -> None:
    assert call(with_models(triton).url, triton.protocol, "models") == (ASR, WHISPER)


def test_a_server_without_models_of_this_kit(triton: FakeTriton, call: Caller) -> None:
    triton.index = index("resnet", "unloaded")
    assert call(triton.url, triton.protocol, "models") == ()


def test_a_list_that_is_kept_is_an_error(triton: FakeTriton, call: Caller) -> None:
    triton.index = None
    with pytest.raises(AccessDenied, match="is restricted, expecting header") as caught:
        call(triton.url, triton.protocol, "models")
    assert caught.value.attempts == 1


def test_a_proxy_that_does_not_know_of_lists() -> None:
    def ask(operation: Operation[Answer], /) -> Steps[Answer]:
        raise ModelNotFound("404")
        yield

    with pytest.raises(ServerError, match="does not tell which models it has: 404"):
        Run(catalogue.models(ask))


def test_nobody_listens(call: Caller) -> None:
    with pytest.raises(ServerUnavailable, match="localhost:9"):
        call("localhost:9", "grpc", "models")


def test_of_several_servers_it_is_what_all_have(call: Caller) -> None:
    with serving(with_models(FakeTriton("grpc"))) as one, serving(with_models(FakeTriton("grpc"))) as other:
        urls = [one.url, "127.0.0.1:1", other.url]
        assert call(urls, "grpc", "models") == (ASR, WHISPER)
        other.index = index("whisper", "whisper_long", "other_asr")
        assert call(urls, "grpc", "models") == (WHISPER,)
        one.index = None
        with pytest.raises(AccessDenied):
            call(urls, "grpc", "models")


@pytest.fixture
def asked() -> list[Infer | Piece]:
    return []


@pytest.fixture
def mock(asked: list[Infer | Piece]) -> MockTransport:
    """Models that answer with their own name."""

    def handler(request: Infer) -> Transcription:
        asked.append(request)
        return Transcription(request.model, 1.0, 1.0)

    def live(piece: Piece) -> list[StreamResult]:
        asked.append(piece)
        return [StreamResult(piece.model, True, piece.model, 1.0, 0.0, 1.0, 1.0)] if piece.is_last else []

    return MockTransport(handler, live, models=[WHISPER, ASR])


def test_a_mock_has_models(mock: MockTransport) -> None:
    with Client(transport=mock) as client:
        assert client.models() == (ASR, WHISPER)
    with Client(transport=MockTransport(lambda request: HELLO)) as client:
        assert [model.name for model in client.models()] == ["asr"]


def test_a_client_of_another_model(mock: MockTransport, asked: list[Infer | Piece]) -> None:
    with Client(transport=mock) as client:
        other = client.with_model("whisper", "2")
        assert [each.transcribe(b"RIFF").text for each in (other, client, other)] == ["whisper", "asr", "whisper"]
        assert [request.version for request in asked if isinstance(request, Infer)] == ["2", "", "2"]
        (result,) = other.stream([bytes(16_000)], sampling_rate=16_000)
        assert result.text == "whisper_stream"


def test_an_async_client_of_another_model(mock: MockTransport) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(transport=mock.asynchronous()) as client, client.with_model("whisper") as other:
            return [(await each.transcribe(b"RIFF")).text for each in (other, client)]

    assert asyncio.run(ask()) == ["whisper", "asr"]


def test_both_have_one_connection_and_one_state_of_retries(triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    from asr_client import _client

    opened: list[object] = []
    original = _client.open_transport
    monkeypatch.setattr(_client, "open_transport", lambda endpoints: opened.append(1) or original(endpoints))
    with Client(triton.url, protocol=triton.protocol) as client:
        other = client.with_model("whisper")
        assert other.transcribe(b"RIFF").text == client.transcribe(b"RIFF").text == HELLO.text
        assert other._shared.retry_state is client._shared.retry_state
    assert len(opened) == 1
    assert [seen.model for seen in triton.seen] == ["whisper", "asr"]


def test_closing_the_new_client_closes_nothing_else(triton: FakeTriton) -> None:
    with Client(triton.url, protocol=triton.protocol) as client:
        with client.with_model("whisper") as other:
            other.transcribe(b"RIFF")
        assert "closed" in repr(other)
        for ask in (lambda: other.transcribe(b"RIFF"), lambda: other.with_model("asr")):
            with pytest.raises(ClientClosed):
                ask()
        assert client.transcribe(b"RIFF").text == HELLO.text


def test_closing_the_first_client_closes_all(triton: FakeTriton) -> None:
    client = Client(triton.url, protocol=triton.protocol)
    other = client.with_model("whisper")
    third = other.with_model("third")
    third.transcribe(b"RIFF")
    client.close()
    for each in (client, other, third):
        with pytest.raises(ClientClosed):
            each.transcribe(b"RIFF")


def test_closing_an_async_client(triton: FakeTriton) -> None:
    async def run() -> None:
        client = AsyncClient(triton.url, protocol=triton.protocol)
        other, third = client.with_model("whisper"), client.with_model("third")
        await other.transcribe(b"RIFF")
        await other.aclose()
        with pytest.raises(ClientClosed):
            await other.transcribe(b"RIFF")
        assert (await third.transcribe(b"RIFF")).text == HELLO.text
        await client.aclose()
        with pytest.raises(ClientClosed):
            await third.transcribe(b"RIFF")

    asyncio.run(run())


def test_an_async_client_of_another_model_goes_on_in_the_next_loop(triton: FakeTriton) -> None:
    client = AsyncClient(triton.url, protocol=triton.protocol)
    other = client.with_model("whisper")

    async def ask(client: AsyncClient) -> str:
        text = (await client.transcribe(b"RIFF")).text
        assert client._shared.transport is not None
        await client._shared.transport.aclose()  # as little as possible is left to the end of the loop
        return text

    assert [asyncio.run(ask(each)) for each in (client, other, client)] == [HELLO.text] * 3


def test_it_says_what_it_is() -> None:
    with Client("localhost:9") as client:
        other = client.with_model("whisper")
        assert repr(other) == "<Client open: model 'whisper' of the gRPC server at localhost:9>"
    assert repr(other).startswith("<Client closed: ")


def test_a_copy_has_its_own_connection(triton: FakeTriton) -> None:
    with Client(triton.url, protocol=triton.protocol, retry=RetryPolicy(max_attempts=2)) as client:
        other = client.with_model("whisper", "3")
        for duplicate in (pickle.loads(pickle.dumps(other)), copy.copy(other)):
            assert repr(duplicate) == repr(other)
            assert duplicate._shared is not client._shared
            with duplicate:
                assert duplicate.transcribe(b"RIFF").text == HELLO.text
        assert triton.seen[-1].model == "whisper"
        assert client.transcribe(b"RIFF").text == HELLO.text


def test_a_client_for_each_request_leaves_nothing_behind(triton: FakeTriton) -> None:
    triton.model = lambda seen: Transcription(seen.model, 1.0, 1.0)
    with Client(triton.url, protocol=triton.protocol) as client:
        client.transcribe(b"RIFF")
        before = set(_fork._registered)  # those of other tests may go at any moment
        others = [client.with_model(f"model-{number}") for number in range(1000)]
        assert set(_fork._registered) <= before
        assert others[-1].transcribe(b"RIFF").text == "model-999"


@pytest.fixture
def server(triton: FakeTriton) -> list[str]:
    """Arguments by which a command finds a server with several models."""
    with_models(triton)
    return ["-u", triton.url, "-i", triton.protocol]


def test_the_command_writes_a_table(run: RunCommand, server: list[str]) -> None:
    done = run("models", *server)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "model    long recordings  live streams  languages",
        "asr      yes              yes           no",
        "whisper  yes              no            yes",
    ]


def test_the_command_has_the_options_of_a_connection(run: RunCommand) -> None:
    shown = run("models", "-h").out
    names = ["--url", "--protocol", "--timeout", "--tls", "--tls-ca", "--tls-cert", "--tls-key", "--header", "--json"]
    assert [name for name in names if name not in shown] == []
    assert "--model" not in shown


def test_the_command_writes_json(run: RunCommand, server: list[str]) -> None:
    found = json.loads(run("models", *server, "--json").out)
    assert [ModelInfo(**model) for model in found] == [ASR, WHISPER]


def test_the_command_where_there_is_no_model(run: RunCommand, triton: FakeTriton, server: list[str]) -> None:
    triton.index = []
    done = run("models", *server)
    assert (done.code, done.out, done.err) == (0, "", "triton-asr: the server has no model of this kit\n")
    assert run("models", *server, "--json").out == "[]\n"


def test_the_command_says_why_there_is_no_list(run: RunCommand, triton: FakeTriton, server: list[str]) -> None:
    triton.index = None
    done = run("models", *server)
    assert done.code == 1
    assert done.err.startswith("triton-asr: error: ")
    assert "restricted" in done.err
