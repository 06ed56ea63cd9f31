"""Live streams: chunks of any size in, what is being said out."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from asr_client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    DecodeOptions,
    InvalidAudio,
    InvalidOption,
    InvalidRequest,
    ModelNotFound,
    StreamResult,
)
from client_caller import Caller
from triton_double import Refusal, TritonDouble, serving

RATE = 16_000
WORD = {"word": "one", "start": 0.1, "end": 0.2, "confidence": 0.5}
FINAL = {"text": "one two", "start": 0.0, "end": 0.5, "confidence": 0.75, "words": [WORD]}


@pytest.fixture
def triton() -> Iterator[TritonDouble]:
    with serving(TritonDouble("grpc", live_model=two_words)) as running:
        yield running


def two_words(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
    """Hears a word with each of the first pieces; the segment is over with the last."""
    text = "one tw" if number else "one"
    finals = [FINAL] if is_last else []
    return {"PARTIAL": "" if is_last else text, "STABLE": 3 if number else 0, "FINALS": finals, "DURATION": number / 2}


def stream(triton: TritonDouble, call: Caller, chunks: list[Any], **named: Any) -> list[StreamResult]:
    """All results, by either client."""
    client = named.pop("client", {})
    named = {"sampling_rate": RATE, **named}
    if not call.is_async:
        with Client(triton.url, **client) as opened:
            return list(opened.stream(iter(chunks), **named))

    import asyncio

    async def slowly() -> AsyncIterator[Any]:
        for chunk in chunks:
            await asyncio.sleep(0)
            yield chunk

    async def ask() -> list[StreamResult]:
        async with AsyncClient(triton.url, **client) as opened:
            return [result async for result in opened.stream(slowly(), **named)]

    return asyncio.run(ask())


def test_partial_results_grow_and_end_in_a_final_one(triton: TritonDouble, call: Caller) -> None:
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


def test_nothing_is_lost_however_the_chunks_are_cut(triton: TritonDouble, call: Caller) -> None:
    data = bytes(range(256)) * 250
    sizes = [1, 3, 700, 20_000, 5, 40_000]
    cuts = np.cumsum([0, *sizes]).tolist()
    stream(triton, call, [data[a:b] for a, b in zip(cuts, [*cuts[1:], len(data)], strict=True)])
    assert b"".join(triton.live_pieces) == data
    assert all(len(piece) >= 0.1 * 2 * RATE for piece in triton.live_pieces[:-1])


def test_a_long_chunk_goes_in_pieces(triton: TritonDouble, call: Caller) -> None:
    stream(triton, call, [bytes(12 * 2 * RATE)])
    assert [len(piece) / 2 / RATE for piece in triton.live_pieces] == [5, 5, 2, 0]


def test_arrays_tell_their_format(triton: TritonDouble, call: Caller) -> None:
    stream(triton, call, [np.zeros((RATE, 2), np.float32)] * 2)
    assert triton.seen[0].parameters == {"encoding": "pcm_f32le", "sample_rate": RATE, "channels": 2}
    with pytest.raises(InvalidAudio, match="a chunk of .*pcm_s16le.* in a stream of .*pcm_f32le"):
        stream(triton, call, [np.zeros(RATE, np.float32), np.zeros(RATE, np.int16)])


def test_options_travel(triton: TritonDouble, call: Caller) -> None:
    stream(triton, call, [bytes(RATE)], encoding="pcm_f32le", channels=2, options=DecodeOptions(hotwords="acme"))
    expected = {"encoding": "pcm_f32le", "sample_rate": RATE, "channels": 2, "hotwords": "acme"}
    assert triton.seen[0].parameters == expected
    assert triton.seen[0].model == "asr_stream"


def test_a_stream_without_samples_has_no_results(triton: TritonDouble, call: Caller) -> None:
    assert stream(triton, call, []) == []
    assert triton.live_pieces == []


def test_what_is_refused(triton: TritonDouble, call: Caller) -> None:
    with pytest.raises(InvalidAudio, match="a live stream needs raw samples"):
        stream(triton, call, [bytes(100)], encoding="file")

    def refuse(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        raise Refusal("", "INVALID_ARGUMENT: audio holds NaN")

    triton.live_model = refuse
    with pytest.raises(InvalidRequest, match="^audio holds NaN$"):
        stream(triton, call, [bytes(RATE)])
    triton.live_model = None
    with pytest.raises(ModelNotFound, match="asr_stream"):
        stream(triton, call, [bytes(RATE)])


def test_http_has_no_streams(call: Caller) -> None:
    with serving(TritonDouble("http")) as triton, pytest.raises(InvalidOption, match="live streams need protocol"):
        stream(triton, call, [bytes(RATE)], client={"protocol": "http"})


def test_a_server_that_says_nothing(triton: TritonDouble, call: Caller) -> None:
    import time

    def slow(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        time.sleep(1)
        return two_words(piece, number, is_last)

    triton.live_model = slow
    with pytest.raises(DeadlineExceeded, match=r"nothing for 0\.1 s"):
        stream(triton, call, [bytes(RATE)], timeout_s=0.1)
