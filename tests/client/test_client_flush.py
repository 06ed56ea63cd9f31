"""FLUSH among the chunks, the silence that ends a segment, and where speech begins."""

from typing import Any

import numpy as np
import pytest
from asr_client import FLUSH, Client, Flush, InvalidRequest, OptionRefused, StreamResult, Transcription
from asr_client._calls.protocol import Piece
from asr_client.testing import MockTransport
from client_caller import Caller
from fake_inference import FakeTriton, Refusal

from tests.client.test_client_stream import FINAL, RATE, stream

CHUNK = bytes(RATE)  # half a second


def segments(triton: FakeTriton) -> None:
    """Hear "some" in every piece with audio; a segment is over with a flush, or with the stream."""
    state = {"seconds": 0.0, "begin": 0.0}

    def hear(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        state["seconds"] += len(piece) // 2 / RATE
        finals = []
        if (is_last or triton.seen[-1].parameters.get("flush")) and state["seconds"] > state["begin"]:
            finals = [{**FINAL, "start": state["begin"], "end": state["seconds"], "words": []}]
            state["begin"] = state["seconds"]
        is_speech = state["seconds"] > state["begin"]
        return {
            "PARTIAL": "some" if is_speech else "",
            "STABLE": 0,
            "FINALS": finals,
            "DURATION": state["seconds"],
            "START": state["begin"] if is_speech else -1.0,
        }

    triton.live_model = hear


def told(results: list[StreamResult]) -> list[tuple[str, bool, float | None, float | None]]:
    return [(result.text, result.flushed, result.start, result.end) for result in results]


def sent(triton: FakeTriton) -> list[tuple[int, bool]]:
    return [(len(seen.audio), "flush" in seen.parameters) for seen in triton.seen]


def test_a_flush_ends_the_segment(grpc_triton: FakeTriton, call: Caller) -> None:
    segments(grpc_triton)
    results = stream(grpc_triton, call, [CHUNK, FLUSH, CHUNK])
    assert told(results) == [
        ("some", False, 0.0, None),
        ("one two", True, 0.0, 0.5),
        ("some", False, 0.5, None),
        ("one two", False, 0.5, 1.0),
    ]
    assert [result.is_final for result in results] == [False, True, False, True]
    assert sent(grpc_triton) == [(RATE, False), (0, True), (RATE, False), (0, False)]


def test_what_waits_for_more_goes_with_the_flush(grpc_triton: FakeTriton, call: Caller) -> None:
    segments(grpc_triton)
    results = stream(grpc_triton, call, [bytes(100), FLUSH, bytes(100), bytes(101), FLUSH])
    assert [result.flushed for result in results] == [True, True]
    assert sent(grpc_triton) == [(100, True), (201, True), (0, False)]


@pytest.mark.parametrize(
    ("chunks", "flushed"),
    [
        ([FLUSH], [""]),
        ([FLUSH, FLUSH, CHUNK], ["", ""]),
        ([CHUNK, FLUSH, FLUSH], ["one two", ""]),
        ([CHUNK, FLUSH, b"\0", FLUSH], ["one two", ""]),  # no whole sample
    ],
)
def test_each_flush_has_an_answer(
    grpc_triton: FakeTriton, call: Caller, chunks: list[bytes | Flush], flushed: list[str]
) -> None:
    segments(grpc_triton)
    results = stream(grpc_triton, call, chunks)
    assert [result.text for result in results if result.flushed] == flushed
    assert all(result.is_final and result.end is None for result in results if not result.text)
    assert len([result for result in results if result.is_final and result.text]) == (CHUNK in chunks)
    assert sum(is_flush for _, is_flush in sent(grpc_triton)) == len([text for text in flushed if text])


def test_a_flush_before_which_nothing_was_heard(grpc_triton: FakeTriton, call: Caller) -> None:
    grpc_triton.live_model = lambda *_: {"PARTIAL": "", "STABLE": 0, "FINALS": [], "DURATION": 0.5}
    (only,) = stream(grpc_triton, call, [CHUNK, FLUSH])
    assert only == StreamResult("", is_final=True, stable="", seconds=0.5, flushed=True)


def test_the_last_of_several_segments_is_the_flushed_one(grpc_triton: FakeTriton, call: Caller) -> None:
    other = {**FINAL, "text": "three", "start": 1.0, "end": 1.5}

    def hear(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        finals = [FINAL, other] if "flush" in grpc_triton.seen[-1].parameters else []
        return {"PARTIAL": "", "STABLE": 0, "FINALS": finals, "DURATION": 0.5}

    grpc_triton.live_model = hear
    results = stream(grpc_triton, call, [CHUNK, FLUSH])
    assert [(result.text, result.flushed) for result in results] == [("one two", False), ("three", True)]


def test_a_flush_among_arrays(grpc_triton: FakeTriton, call: Caller) -> None:
    segments(grpc_triton)
    assert len(stream(grpc_triton, call, [FLUSH, np.zeros((RATE, 2), np.int16), FLUSH])) == 3
    assert grpc_triton.seen[1].parameters == {
        "encoding": "pcm_s16le",
        "sample_rate": RATE,
        "channels": 2,
        "flush": True,
    }


def test_an_earlier_export_does_not_know_a_flush(grpc_triton: FakeTriton, call: Caller) -> None:
    answer = {"PARTIAL": "one", "STABLE": 0, "FINALS": [], "DURATION": 0.5, "START": None}
    grpc_triton.live_model = lambda *_: answer
    (partial,) = stream(grpc_triton, call, [CHUNK])
    assert (partial.text, partial.start) == ("one", None)
    with pytest.raises(OptionRefused, match="model 'asr_stream' is of an earlier export, and does not know FLUSH"):
        stream(grpc_triton, call, [CHUNK, FLUSH])


def test_the_silence_travels(grpc_triton: FakeTriton, call: Caller) -> None:
    segments(grpc_triton)
    stream(grpc_triton, call, [CHUNK], silence_ms=300)
    assert grpc_triton.seen[0].parameters["silence_ms"] == 300

    def refuse(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        raise Refusal("", "INVALID_PARAMETER: silence_ms is 5; needs a whole number from 100 to 10000")

    grpc_triton.live_model = refuse
    with pytest.raises(InvalidRequest, match="^silence_ms is 5; needs a whole number"):
        stream(grpc_triton, call, [CHUNK], silence_ms=5)
    with Client(grpc_triton.url) as client, pytest.raises(TypeError, match="argument 'silence_ms'"):
        client.transcribe(CHUNK, silence_ms=300)


def test_speech_begins_without_text(grpc_triton: FakeTriton, call: Caller) -> None:
    answers = [("", -1.0), ("", 0.25), ("", 0.25), ("one", 0.25), ("one", 0.25), ("", -1.0), ("", -1.0)]

    def hear(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        text, start = answers[number]
        return {"PARTIAL": text, "STABLE": 0, "FINALS": [], "DURATION": number / 2, "START": start}

    grpc_triton.live_model = hear
    results = stream(grpc_triton, call, [CHUNK] * (len(answers) - 1))
    assert [(result.text, result.start, result.seconds) for result in results] == [
        ("", 0.25, 0.5),
        ("one", 0.25, 1.5),
        ("", None, 2.5),
    ]


def test_a_fake_of_a_users_tests_knows_a_flush() -> None:
    def live(piece: Piece) -> list[StreamResult]:
        is_flush = "flush" in piece.parameters
        return [StreamResult("hello", True, "hello", 0.5, 0.0, 0.5, 0.75)] if is_flush and piece.audio else []

    transport = MockTransport(lambda request: Transcription("hi", 0.5, 2.0), live)
    with Client(transport=transport) as client:
        results = list(client.stream([bytes(100), FLUSH, CHUNK, FLUSH], sampling_rate=RATE))
    assert [(result.text, result.flushed) for result in results] == [("hello", True), ("", True)]
