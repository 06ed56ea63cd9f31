"""Live streams: chunks of any size in, what is being said out."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from asr_client import (
    AsyncClient,
    Client,
    ClientClosed,
    DeadlineExceeded,
    DecodeOptions,
    InvalidAudio,
    InvalidOption,
    InvalidRequest,
    ModelNotFound,
    QueueFull,
    StreamLost,
    StreamResult,
)
from client_caller import Caller
from fake_inference import FakeTriton, Refusal, serving

RATE = 16_000
WORD = {"word": "one", "start": 0.1, "end": 0.2, "confidence": 0.5}
FINAL = {"text": "one two", "start": 0.0, "end": 0.5, "confidence": 0.75, "words": [WORD]}


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with serving(FakeTriton("grpc", live_model=two_words)) as running:
        yield running


def two_words(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
    """Hears a word with each of the first pieces; the segment is over with the last."""
    text = "one tw" if number else "one"
    finals = [FINAL] if is_last else []
    return {"PARTIAL": "" if is_last else text, "STABLE": 3 if number else 0, "FINALS": finals, "DURATION": number / 2}


def stream(triton: FakeTriton, call: Caller, chunks: Iterable[Any], **named: Any) -> list[StreamResult]:
    """All results, by either client."""
    client = named.pop("client", {})
    named = {"sampling_rate": RATE, **named}
    if not call.is_async:
        with Client(triton.url, **client) as opened:
            return list(opened.stream(iter(chunks), **named))

    async def slowly() -> AsyncIterator[Any]:
        for chunk in chunks:
            await asyncio.sleep(0)
            yield chunk

    async def ask() -> list[StreamResult]:
        async with AsyncClient(triton.url, **client) as opened:
            return [result async for result in opened.stream(slowly(), **named)]

    return asyncio.run(ask())


def test_partial_results_grow_and_end_in_a_final_one(triton: FakeTriton, call: Caller) -> None:
    chunk = bytes(2 * RATE // 2)
    results = stream(triton, call, [chunk, chunk, chunk])
    assert [(result.text, result.stable, result.is_final) for result in results] == [
        ("one", "", False),
        ("one tw", "one", False),  # the third piece brought no news
        ("one two", "one two", True),
    ]
    final = results[-1]
    assert (final.start, final.end, final.confidence, final.seconds) == (0.0, 0.5, 0.75, 1.5)
    assert [word.word for word in final.words] == ["one"]


def test_nothing_is_lost_however_the_chunks_are_cut(triton: FakeTriton, call: Caller) -> None:
    data = bytes(range(256)) * 250
    sizes = [1, 3, 700, 20_000, 5, 40_000]
    cuts = np.cumsum([0, *sizes]).tolist()
    stream(triton, call, [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)])
    assert b"".join(triton.live_pieces) == data
    assert all(len(piece) >= 0.1 * 2 * RATE for piece in triton.live_pieces[:-1])


def test_a_long_chunk_goes_in_pieces(triton: FakeTriton, call: Caller) -> None:
    stream(triton, call, [bytes(12 * 2 * RATE)])
    assert [len(piece) / 2 / RATE for piece in triton.live_pieces] == [5, 5, 2, 0]


def test_arrays_tell_their_format(triton: FakeTriton, call: Caller) -> None:
    stream(triton, call, [np.zeros((RATE, 2), np.float32)] * 2)
    assert triton.seen[0].parameters == {"encoding": "pcm_f32le", "sample_rate": RATE, "channels": 2}
    with pytest.raises(InvalidAudio, match="a chunk has the format .*pcm_s16le.*; the stream needs .*pcm_f32le"):
        stream(triton, call, [np.zeros(RATE, np.float32), np.zeros(RATE, np.int16)])


def test_options_travel(triton: FakeTriton, call: Caller) -> None:
    stream(triton, call, [bytes(RATE)], encoding="pcm_f32le", channels=2, options=DecodeOptions(hotwords="acme"))
    expected = {"encoding": "pcm_f32le", "sample_rate": RATE, "channels": 2, "hotwords": "acme"}
    assert triton.seen[0].parameters == expected
    assert triton.seen[0].model == "asr_stream"


def test_a_stream_without_samples_has_no_results(triton: FakeTriton, call: Caller) -> None:
    assert stream(triton, call, []) == []
    assert triton.live_pieces == []


def test_what_is_refused(triton: FakeTriton, call: Caller) -> None:
    with pytest.raises(InvalidAudio, match="a live stream needs raw samples"):
        stream(triton, call, [bytes(100)], encoding="file")

    def refuse(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        raise Refusal("", "INVALID_AUDIO: audio holds NaN")

    triton.live_model = refuse
    with pytest.raises(InvalidRequest, match="^audio holds NaN$"):
        stream(triton, call, [bytes(RATE)])
    triton.live_model = None
    with pytest.raises(ModelNotFound, match="asr_stream"):
        stream(triton, call, [bytes(RATE)])


def test_http_has_no_streams(call: Caller) -> None:
    with serving(FakeTriton("http")) as triton, pytest.raises(InvalidOption, match="live streams need protocol"):
        stream(triton, call, [bytes(RATE)], client={"protocol": "http"})


def broken_off(triton: FakeTriton, call: Caller, chunks: Iterator[bytes]) -> str:
    """The text of the first result, after which the caller loses interest."""
    if not call.is_async:
        with Client(triton.url) as opened:
            for result in opened.stream(chunks, sampling_rate=RATE):
                text = result.text
                break
            assert triton.discarded == ["asr_stream"]  # at once, and not only when the client is closed
            return text

    async def ask() -> str:
        async with AsyncClient(triton.url) as opened:
            async for result in opened.stream(chunks, sampling_rate=RATE):
                text = result.text
                break
            while not triton.discarded:  # the event loop closes generators that nobody holds
                await asyncio.sleep(0.01)
            return text

    return asyncio.run(ask())


def test_a_stream_that_is_not_read_to_its_end_is_given_up(triton: FakeTriton, call: Caller) -> None:
    assert broken_off(triton, call, itertools.repeat(bytes(RATE))) == "one"
    assert triton.discarded == ["asr_stream"]


def test_a_stream_whose_source_breaks_is_given_up(triton: FakeTriton, call: Caller) -> None:
    def source() -> Iterator[bytes]:
        yield bytes(RATE)
        raise ConnectionError("the microphone is gone")

    with pytest.raises(ConnectionError, match="the microphone is gone"):
        stream(triton, call, source())
    assert triton.discarded == ["asr_stream"]


def test_a_stream_that_is_refused_is_given_up(triton: FakeTriton, call: Caller) -> None:
    """Triton itself keeps the place of a sequence that was refused."""

    def refuse(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        raise Refusal("", "QUEUE_FULL: 64 live streams are under way")

    triton.live_model = refuse
    with pytest.raises(QueueFull):
        stream(triton, call, [bytes(RATE)])
    assert triton.discarded == ["asr_stream"]


def test_a_stream_that_ended_is_not_given_up(triton: FakeTriton, call: Caller) -> None:
    stream(triton, call, [bytes(RATE)])
    stream(triton, call, [])
    assert triton.discarded == []


def test_closing_the_client_gives_its_streams_up(triton: FakeTriton, call: Caller) -> None:
    if not call.is_async:
        with Client(triton.url) as opened:
            results = opened.stream(itertools.repeat(bytes(RATE)), sampling_rate=RATE)
            next(results)
        assert triton.discarded == ["asr_stream"]
        with pytest.raises(ClientClosed):
            next(results)
        return

    async def ask() -> None:
        async with AsyncClient(triton.url) as opened:
            results = opened.stream(itertools.repeat(bytes(RATE)), sampling_rate=RATE)
            await anext(results)
        assert triton.discarded == ["asr_stream"]
        with pytest.raises(ClientClosed):
            await anext(results)

    asyncio.run(ask())


def test_closing_the_client_wakes_who_waits_for_a_result(triton: FakeTriton) -> None:
    finish = threading.Event()

    def hang(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        finish.wait(20)
        return two_words(piece, number, is_last)

    triton.live_model = hang
    client = Client(triton.url, timeout_s=0.5)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lambda: list(client.stream([bytes(RATE)], sampling_rate=RATE, timeout_s=30)))
        time.sleep(0.2)
        closing = threading.Thread(target=client.close)
        closing.start()
        with pytest.raises(ClientClosed):
            waiting.result(timeout=15)
        finish.set()
        closing.join()


def test_a_cancelled_task_gives_its_stream_up(triton: FakeTriton) -> None:
    """Even in the middle of an answer."""
    arrived = threading.Event()

    def slow(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        arrived.set()
        time.sleep(0.5)
        return two_words(piece, number, is_last)

    triton.live_model = slow

    async def ask() -> None:
        async with AsyncClient(triton.url) as opened:

            async def listen() -> None:
                async for _ in opened.stream(itertools.repeat(bytes(RATE)), sampling_rate=RATE):
                    pass

            task = asyncio.create_task(listen())
            await asyncio.to_thread(arrived.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert triton.discarded == ["asr_stream"]

    asyncio.run(ask())


@pytest.mark.parametrize(
    "message",
    [
        "inference request for sequence 7 to model 'asr_stream' must specify the START flag on the first request of "
        "the sequence",
        "UNKNOWN_SEQUENCE: this stream was not begun here, or not continued for 60 s; begin again, with the start of a "
        "sequence",
    ],
)
def test_a_stream_that_the_server_has_forgotten(triton: FakeTriton, call: Caller, message: str) -> None:
    def forget(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        if number:
            raise Refusal("", message)
        return two_words(piece, number, is_last)

    triton.live_model = forget
    with pytest.raises(StreamLost) as caught:
        stream(triton, call, [bytes(RATE)] * 3)
    assert "has forgotten this stream" in str(caught.value)
    assert "Something was sent 0 s ago, so this stream was not idle: begin a new one" in str(caught.value)
    assert "START" not in str(caught.value)
    assert message in str(caught.value.__cause__)


def test_a_server_that_says_nothing(triton: FakeTriton, call: Caller) -> None:
    def slow(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        time.sleep(1)
        return two_words(piece, number, is_last)

    triton.live_model = slow
    with pytest.raises(DeadlineExceeded, match=r"nothing for 0\.1 s"):
        stream(triton, call, [bytes(RATE)], timeout_s=0.1)
