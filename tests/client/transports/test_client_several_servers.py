"""One client of several servers, over the wire."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import steady_ports
from asr_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidOption,
    ModelNotFound,
    RequestInterrupted,
    RetryPolicy,
    ServerUnavailable,
    Transcription,
)
from asr_client._transports.balanced import AsyncBalancedTransport
from client_caller import QUICK, Caller
from fake_inference import HELLO, FakeTriton, Refusal, Seen, serving

RATE = 16_000
ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture(params=["grpc", "http"])
def two(request: pytest.FixtureRequest) -> Iterator[list[FakeTriton]]:
    with serving(FakeTriton(request.param)) as one, serving(FakeTriton(request.param)) as other:
        yield [one, other]


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    return f"127.0.0.1:{steady_ports.free()[0]}"


def urls(servers: list[FakeTriton]) -> list[str]:
    return [server.url for server in servers]


def test_both_get_requests(two: list[FakeTriton], call: Caller) -> None:
    call(urls(two), two[0].protocol, "transcribe_many", [b"RIFF"] * 20)
    assert min(len(server.seen) for server in two) >= 5


def test_a_busy_server_gets_fewer(two: list[FakeTriton]) -> None:
    free, lock = threading.Event(), threading.Lock()

    def stuck(seen: Seen) -> Transcription:
        free.wait(20)
        return HELLO

    def quick(seen: Seen) -> Transcription:
        with lock:
            if len(two[1].seen) == 20:
                free.set()
        return HELLO

    two[0].model, two[1].model = stuck, quick
    with Client(urls(two), protocol=two[0].protocol) as client:
        client.transcribe_many([b"RIFF"] * 24, concurrency=4)
    assert len(two[0].seen) <= 4


def test_a_request_goes_on_where_nobody_listens(two: list[FakeTriton], nobody: str, call: Caller) -> None:
    for _ in range(2):  # whichever comes first
        result = call([nobody, two[0].url], two[0].protocol, "transcribe", b"RIFF", client={"retry": ONCE})
        assert result.text == HELLO.text


def test_a_dead_server_is_asked_seldom(two: list[FakeTriton]) -> None:
    two[0].is_ready = False
    two[0].refuse("UNAVAILABLE", "Request for unknown model: 'asr' has no available versions")
    with Client(urls(two), protocol=two[0].protocol, retry=ONCE) as client:
        for _ in range(20):
            assert client.transcribe(b"RIFF").text == HELLO.text
    assert len(two[0].seen) == 1


def test_a_server_that_comes_back_gets_requests_again(two: list[FakeTriton]) -> None:
    two[0].is_ready = False
    two[0].refuse("UNAVAILABLE", "Request for unknown model: 'asr' has no available versions")
    with Client(urls(two), protocol=two[0].protocol, retry=ONCE) as client:
        while not two[0].seen:
            client.transcribe(b"RIFF")
        two[0].model, two[0].is_ready = (lambda seen: HELLO), True
        deadline = time.monotonic() + 20
        while len(two[0].seen) < 5:
            assert client.transcribe(b"RIFF").text == HELLO.text
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_nothing_is_lost_when_a_server_ends(call: Caller) -> None:
    with serving(FakeTriton("grpc")) as left, ExitStack() as stack:
        ending = stack.enter_context(serving(FakeTriton("grpc")))
        finished = threading.Event()

        def model(seen: Seen) -> Transcription:
            if len(left.seen) + len(ending.seen) > 30:
                finished.set()
            time.sleep(0.005)
            return Transcription(seen.audio.decode(), 1.0, 1.0)

        left.model = ending.model = model
        texts = [f"recording {number}" for number in range(200)]
        addresses = [left.url, ending.url]
        with ThreadPoolExecutor(1) as thread:
            outcomes = thread.submit(
                call, addresses, "grpc", "transcribe_many", [text.encode() for text in texts], concurrency=16
            )
            finished.wait(20)
            stack.close()
            assert [outcome.unwrap().text for outcome in outcomes.result()] == texts


def test_when_nobody_listens_the_error_names_all(nobody: str, call: Caller) -> None:
    with pytest.raises(ServerUnavailable, match=f"none of the 2 servers takes requests: .*{nobody}.*; .*127.0.0.1:1"):
        call([nobody, "127.0.0.1:1"], "grpc", "transcribe", b"RIFF", client={"retry": ONCE})


def test_the_answer_of_one_server_is_the_answer(two: list[FakeTriton], call: Caller) -> None:
    for server in two:
        server.refuse("NOT_FOUND", "Request for unknown model: 'asr' is not found")
    with pytest.raises(ModelNotFound, match=f"{two[0].url}|{two[1].url}"):
        call(urls(two), two[0].protocol, "transcribe", b"RIFF")
    assert sum(len(server.seen) for server in two) == 1


def test_an_interrupted_request_is_the_clients_to_retry(two: list[FakeTriton], call: Caller) -> None:
    for server in two:
        server.refuse("INTERNAL", "Stub process 'acoustic_0_0' is not healthy.")
    with pytest.raises(RequestInterrupted, match="after 3 attempts"):
        call(urls(two), two[0].protocol, "transcribe", b"RIFF")
    assert sum(len(server.seen) for server in two) == QUICK.max_interruptions


def test_readiness_is_that_of_at_least_one(two: list[FakeTriton], call: Caller) -> None:
    for expected in (True, True, False):
        for method in ("server_ready", "model_ready"):
            assert call(urls(two), two[0].protocol, method) is expected
        next(server for server in two if server.is_ready or not expected).is_ready = False


def test_a_hanging_server_does_not_take_the_deadline_of_all(two: list[FakeTriton]) -> None:
    free = threading.Event()

    def stuck(seen: Seen) -> Transcription:
        free.wait(20)
        return HELLO

    two[0].model, two[0].is_ready = stuck, False
    try:
        with Client(urls(two), protocol=two[0].protocol, timeout_s=0.5) as client:
            outcomes = client.transcribe_many([b"RIFF"] * 60, concurrency=4)
    finally:
        free.set()
    lost = [outcome for outcome in outcomes if not outcome.ok]
    assert {type(outcome.error) for outcome in lost} <= {DeadlineExceeded}
    assert len(lost) <= 4


def test_a_cancelled_request_gives_its_place_back() -> None:
    free = threading.Event()

    def stuck(seen: Seen) -> Transcription:
        free.wait(20)
        return HELLO

    async def run(addresses: list[str]) -> list[int]:
        async with AsyncClient(addresses) as client:
            task = asyncio.create_task(client.transcribe(b"RIFF"))
            while not one.seen + other.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            transport = client._shared.transport
            assert isinstance(transport, AsyncBalancedTransport)
            return [server.under_way for server in transport._servers.all]

    with serving(FakeTriton("grpc", model=stuck)) as one, serving(FakeTriton("grpc", model=stuck)) as other:
        assert asyncio.run(run([one.url, other.url])) == [0, 0]
        free.set()


def heard(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
    final = {"text": "one", "start": 0.0, "end": 0.5, "confidence": 0.75, "words": []}
    return {"PARTIAL": "", "STABLE": 0, "FINALS": [final] if is_last else [], "DURATION": 1.0}


def stream(addresses: list[str], call: Caller, chunks: int) -> list[str]:
    """The final texts of a live stream, by either client."""
    audio = [bytes(RATE)] * chunks
    if not call.is_async:
        with Client(addresses) as client:
            return [result.text for result in client.stream(audio, sampling_rate=RATE) if result.is_final]

    async def run() -> list[str]:
        async with AsyncClient(addresses) as client:
            return [result.text async for result in client.stream(audio, sampling_rate=RATE) if result.is_final]

    return asyncio.run(run())


def test_a_stream_stays_at_its_server(call: Caller) -> None:
    with (
        serving(FakeTriton("grpc", live_model=heard)) as one,
        serving(FakeTriton("grpc", live_model=heard)) as other,
    ):
        for _ in range(4):
            assert stream([one.url, other.url], call, 5) == ["one"]
        assert [len(server.live_pieces) % 6 for server in (one, other)] == [0, 0]


def test_a_stream_begins_where_somebody_listens(nobody: str, call: Caller) -> None:
    with serving(FakeTriton("grpc", live_model=heard)) as triton:
        assert stream([nobody, triton.url], call, 3) == ["one"]
        assert triton.live_pieces == [bytes(RATE)] * 3 + [b""]


def test_a_stream_where_nobody_listens(nobody: str, call: Caller) -> None:
    with pytest.raises(ServerUnavailable, match="none of the 2 servers takes requests"):
        stream([nobody, "127.0.0.1:1"], call, 3)


def test_a_long_recording_begins_where_somebody_listens(nobody: str, call: Caller) -> None:
    def too_long(seen: Seen) -> Transcription:
        raise Refusal("INVALID_ARGUMENT", "AUDIO_TOO_LONG: audio is too long: 90.00 s")

    fake = FakeTriton("grpc", model=too_long, long_model=lambda seen: iter([HELLO]))
    with serving(fake) as triton:
        assert call([nobody, triton.url], "grpc", "transcribe", b"RIFF").text == HELLO.text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ([], "url is an empty list"),
        (["a:1", "b"], None),
        (["a:1", "a:1"], "url is a:1, a:1; needs each server once"),
        (["a:1", "http://b:1"], "needs HOST:PORT without a scheme"),
    ],
)
def test_lists_of_addresses(url: list[str], message: str | None) -> None:
    if message is None:
        assert repr(Client(url)) == "<Client open: model 'asr' of the gRPC server at a:1, b>"
    else:
        with pytest.raises(InvalidOption, match=message):
            Client(url)
