"""Live streams through a real Triton."""

import asyncio
import itertools
import queue
from collections.abc import Iterator
from typing import Any

import jiwer
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from asr_client import AsyncClient, Client, DecodeOptions, InvalidRequest, RetryPolicy, StreamLost, StreamResult
from asr_server import TritonServer

from tests.e2e.test_long_recordings import RATE, sentences  # noqa: F401 - a fixture

pytestmark = pytest.mark.e2e
PAUSE_S = 1.2
MOST = 64  # live streams that the server takes


@pytest.fixture(scope="module")
def speech(sentences: list[np.ndarray]) -> np.ndarray:  # noqa: F811
    """The demo's sentences with pauses in which the room is heard, int16."""
    noise = np.random.default_rng(0)
    room = [noise.normal(0, 1e-4, int(PAUSE_S * RATE)).astype(np.float32) for _ in sentences]
    joined = np.concatenate([part for pair in zip(sentences, room, strict=True) for part in pair])
    return (np.clip(joined, -1, 1) * 32767).astype(np.int16)


def pieces(samples: np.ndarray, seconds: float) -> list[np.ndarray]:
    size = int(seconds * RATE)
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def finals(results: list[StreamResult]) -> list[StreamResult]:
    return [result for result in results if result.is_final]


def test_final_text_is_that_of_the_recordings(
    client: Client,
    speech: np.ndarray,
    sentences: list[np.ndarray],  # noqa: F811
) -> None:
    results = list(client.stream(pieces(speech, 0.1), sampling_rate=RATE))
    alone = [client.transcribe(sentence, sampling_rate=RATE).text for sentence in sentences]
    heard = finals(results)
    assert len(heard) == len(sentences)
    assert jiwer.wer(" ".join(alone), " ".join(result.text for result in heard)) <= 0.05
    at = 0.0
    for sentence, result in zip(sentences, heard, strict=True):
        assert result.start is not None
        assert result.end is not None
        assert at - 0.6 < result.start <= result.words[0].start <= result.words[-1].end <= result.end
        assert result.end < at + len(sentence) / RATE + PAUSE_S
        at += len(sentence) / RATE + PAUSE_S


def test_partial_results_come_early_and_only_grow(client: Client, speech: np.ndarray) -> None:
    results = list(client.stream(pieces(speech[: 9 * RATE], 0.1), sampling_rate=RATE))
    first = next(result for result in results if result.text)
    assert not first.is_final
    assert first.seconds <= 1.0  # the first word begins at 0.2 s
    before = ""
    for result in results:
        if result.is_final:
            before = ""
        else:
            assert result.text.startswith(before)
            before = result.stable


@pytest.mark.parametrize("seconds", [0.02, 0.32, 1.0])
def test_the_size_of_the_pieces_makes_no_difference(client: Client, speech: np.ndarray, seconds: float) -> None:
    asked = {"sampling_rate": RATE, "timeout_s": 60}
    expected = [(r.text, r.start, r.words) for r in finals(list(client.stream(pieces(speech, 0.1), **asked)))]
    found = [(r.text, r.start, r.words) for r in finals(list(client.stream(pieces(speech, seconds), **asked)))]
    # Batches differ, and with them the last bits of what the acoustic model says; the words and their times do not.
    assert [(text, start, [(w.word, w.start) for w in words]) for text, start, words in found] == [
        (text, start, [(w.word, w.start) for w in words]) for text, start, words in expected
    ]


def test_many_streams_at_once_say_what_one_says(server: TritonServer, client: Client, speech: np.ndarray) -> None:
    short = speech[: 8 * RATE]
    alone = [result.text for result in finals(list(client.stream(pieces(short, 0.2), sampling_rate=RATE)))]

    async def one(asking: AsyncClient) -> list[str]:
        stream = asking.stream(pieces(short, 0.2), sampling_rate=RATE)
        return [result.text async for result in stream if result.is_final]

    async def all_of_them() -> list[list[str]]:
        async with AsyncClient(server.grpc_url) as asking:
            return await asyncio.gather(*(one(asking) for _ in range(30)))

    assert alone
    assert asyncio.run(all_of_them()) == [alone] * 30


def test_another_rate_and_two_channels(client: Client, speech: np.ndarray) -> None:
    short = speech[: 9 * RATE]
    expected = [result.text for result in finals(list(client.stream(pieces(short, 0.1), sampling_rate=RATE)))]
    doubled = np.repeat(np.stack([short, short], axis=1), 2, axis=0)
    found = finals(list(client.stream(pieces(doubled, 0.1), sampling_rate=2 * RATE)))
    assert jiwer.wer(" ".join(expected), " ".join(result.text for result in found)) <= 0.1


def test_hotwords(client: Client, speech: np.ndarray) -> None:
    options = DecodeOptions(hotwords="singar")
    heard = finals(list(client.stream(pieces(speech, 0.2), sampling_rate=RATE, options=options)))
    assert any("SINGAR" in result.text.split() for result in heard)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"options": DecodeOptions(hotwords="Zürich")}, "hotword 'Zürich' has 'ü'"),
        ({"sampling_rate": 1}, "sample_rate is 1; needs a whole number from 4000"),
        ({"options": DecodeOptions(decoder="beam", nbest=3)}, "nbest is for recordings"),
    ],
)
def test_what_is_refused(client: Client, speech: np.ndarray, named: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        list(client.stream(pieces(speech[:RATE], 0.5), **{"sampling_rate": RATE, **named}))


class Raw:
    """Requests as no well-behaved client sends them."""

    def __init__(self, url: str) -> None:
        self._client = triton_grpc.InferenceServerClient(url)
        self._said: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        self._client.start_stream(lambda result, error: self._said.put((result, error)))

    def send(
        self, sequence: int, data: bytes, start: bool = False, end: bool = False, model: str = "asr_stream"
    ) -> str:
        """What the server says: the final segments, or the error."""
        audio = triton_grpc.InferInput("AUDIO", [1, 1], "BYTES")
        element = np.empty((1, 1), dtype=object)
        element[0, 0] = data
        audio.set_data_from_numpy(element)
        parameters = {"encoding": "pcm_s16le", "sample_rate": RATE}
        self._client.async_stream_infer(
            model, [audio], sequence_id=sequence, sequence_start=start, sequence_end=end, parameters=parameters
        )
        result, error = self._said.get(timeout=20)
        return str(error) if error else result.as_numpy("FINALS")[0, 0].decode()

    def close(self) -> None:
        self._client.stop_stream(cancel_requests=True)
        self._client.close()


def test_sequences_out_of_order_harm_nobody(server: TritonServer, client: Client, speech: np.ndarray) -> None:
    raw = Raw(server.grpc_url)
    try:
        assert "START" in raw.send(4001, bytes(3200)).upper()  # never begun
        assert raw.send(4002, bytes(3200), start=True) == "[]"
        assert raw.send(4002, bytes(3200), start=True) == "[]"  # begun twice: begun anew
        assert raw.send(4002, bytes(3200), end=True) == "[]"
        assert "START" in raw.send(4002, bytes(3200), end=True).upper()  # ended twice
        assert "not found" in raw.send(4003, bytes(3200), start=True, model="no_stream")
        assert "INVALID_AUDIO: this piece holds 11.0 s" in raw.send(4004, bytes(11 * 2 * RATE), start=True)
    finally:
        raw.close()
    assert finals(list(client.stream(pieces(speech[: 4 * RATE], 0.1), sampling_rate=RATE)))


def test_streams_closed_early_leave_their_places(server: TritonServer, speech: np.ndarray) -> None:
    with Client(server.grpc_url, timeout_s=60) as client:
        for _ in range(MOST + 6):
            results = client.stream(pieces(speech[: 4 * RATE], 0.5), sampling_rate=RATE)
            assert next(results).text
            results.close()
        assert finals(list(client.stream(pieces(speech[: 4 * RATE], 0.5), sampling_rate=RATE)))


def test_cancelled_streams_leave_their_places(server: TritonServer, client: Client, speech: np.ndarray) -> None:
    async def cancel_them() -> list[bool]:
        async with AsyncClient(server.grpc_url, timeout_s=60) as asking:

            async def listen() -> None:
                async for _ in asking.stream(itertools.cycle(pieces(speech, 0.3)), sampling_rate=RATE):
                    pass

            tasks = [asyncio.create_task(listen()) for _ in range(MOST)]
            await asyncio.sleep(3)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            return [isinstance(end, asyncio.CancelledError) for end in ended]

    assert asyncio.run(cancel_them()) == [True] * MOST
    for _ in range(MOST):
        list(client.stream([bytes(3200)], sampling_rate=RATE))


def test_cancelled_uploads_leave_their_places(server: TritonServer, client: Client, speech: np.ndarray) -> None:
    """The server takes sixteen long recordings at a time."""
    long_one = np.concatenate([speech] * 4)

    async def cancel_them() -> None:
        async with AsyncClient(server.grpc_url, timeout_s=60, max_message_bytes=20_000) as asking:
            tasks = [asyncio.create_task(asking.transcribe(long_one, sampling_rate=RATE)) for _ in range(20)]
            await asyncio.sleep(0.5)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(cancel_them())
    with Client(server.grpc_url, retry=RetryPolicy(max_attempts=1), timeout_s=60) as hasty:
        assert hasty.transcribe(long_one, sampling_rate=RATE).text


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_triton_has_forgotten(
    server: TritonServer, client: Client, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """As when its model is loaded again; here somebody else ends the sequence."""
    sequence = 6001 + is_async
    monkeypatch.setattr("secrets.randbelow", lambda below: sequence - 1)

    def chunks() -> Iterator[np.ndarray]:
        yield speech[:RATE]
        raw = Raw(server.grpc_url)
        raw.send(sequence, b"", end=True)
        raw.close()
        yield speech[:RATE]

    async def listen() -> None:
        async with AsyncClient(server.grpc_url) as asking:
            async for _ in asking.stream(chunks(), sampling_rate=RATE):
                pass

    with pytest.raises(StreamLost, match=r"has forgotten this stream: .* Something was sent \d s ago") as caught:
        asyncio.run(listen()) if is_async else list(client.stream(chunks(), sampling_rate=RATE))
    assert "must specify the START flag" in str(caught.value.__cause__)
    assert "START" not in str(caught.value)


def test_abandoned_streams_do_no_harm(server: TritonServer, client: Client, speech: np.ndarray) -> None:
    raw = Raw(server.grpc_url)
    refused = 0
    for number in range(500):
        refused += "QUEUE_FULL" in raw.send(5000 + number, bytes(3200), start=True)
    raw.close()
    assert refused >= 500 - 2 * MOST  # the server keeps as many as it takes, until one has been idle for ten seconds
    assert client.transcribe(speech[: 3 * RATE], sampling_rate=RATE).text
