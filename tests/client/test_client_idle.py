"""A stream that the server forgets while nothing comes: the client begins it again, and nobody notices."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from asr_client import FLUSH, QueueFull, StreamLost, StreamResult
from asr_client._calls import live
from asr_client._calls.unfinished import Unfinished
from client_caller import Caller
from fake_inference import FakeTriton, Refusal
from hypothesis import given
from hypothesis import strategies as st

from tests.client.test_client_stream import RATE, stream

SECOND = bytes(range(250)) * (2 * RATE // 250)
LOST = "UNKNOWN_SEQUENCE: this stream was not begun here, or not continued for 60 s"


class Forgetful:
    """A server that forgets the stream when the source pauses; a segment ends with a flush, or with the stream."""

    def __init__(self, triton: FakeTriton) -> None:
        self.heard: list[bytes] = []  # of each sequence
        self.final_s: float | None = None  # second of the sequence at which a segment ends by itself
        self.ended_s = 0.0
        self.error = LOST
        self.is_lost = True  # until the stream begins
        self._triton = triton
        triton.live_model = self.hear

    def hear(self, piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        if self.is_lost:
            if self._triton.seen[-1].is_first:
                self.is_lost, self.ended_s = False, 0.0
                self.heard.append(b"")
            else:
                raise Refusal("", self.error)
        self.heard[-1] += piece
        seconds = len(self.heard[-1]) / 2 / RATE
        ends = [self.final_s] if self.final_s is not None else []
        if (is_last or self._triton.seen[-1].parameters.get("flush")) and seconds > self.ended_s:
            ends = [seconds]
        self.final_s, self.ended_s = None, max([self.ended_s, *ends])
        word = {"word": "some", "start": 0.25, "end": 0.5, "confidence": 0.5}
        finals = [{"text": "some", "start": 0.0, "end": end, "confidence": 0.5, "words": [word]} for end in ends]
        return {"PARTIAL": "", "STABLE": 0, "FINALS": finals, "DURATION": seconds, "START": -1.0}

    def pause(self) -> None:
        """The stream is idle for so long that the server forgets it."""
        self.is_lost = True


@pytest.fixture
def server(grpc_triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> Forgetful:
    monkeypatch.setattr(live, "IDLE_S", 0.0)
    return Forgetful(grpc_triton)


def finals(results: list[StreamResult]) -> list[tuple[float | None, float | None, float]]:
    return [(result.start, result.end, result.words[0].start) for result in results if result.is_final]


def test_the_next_chunk_begins_it_again_and_times_go_on(
    server: Forgetful, grpc_triton: FakeTriton, call: Caller
) -> None:
    def source() -> Iterator[Any]:
        yield SECOND
        yield FLUSH
        server.pause()
        yield SECOND

    results = stream(grpc_triton, call, source())
    assert server.heard == [SECOND, SECOND]
    assert finals(results) == [(0.0, 1.0, 0.25), (1.0, 2.0, 1.25)]
    assert results[-1].seconds == 2.0
    first, flush, lost, again, last = grpc_triton.seen
    assert (lost.is_first, again.is_first, last.is_first) == (False, True, False)
    assert first.sequence == flush.sequence == lost.sequence != again.sequence == last.sequence
    assert "flush" not in again.parameters


def test_what_has_no_final_text_is_heard_again(server: Forgetful, grpc_triton: FakeTriton, call: Caller) -> None:
    def source() -> Iterator[Any]:
        yield from [SECOND] * 3
        server.final_s = 2.5
        yield SECOND
        server.pause()
        yield SECOND

    results = stream(grpc_triton, call, source())
    whole = SECOND * 5
    assert server.heard == [whole[: 8 * RATE], whole[5 * RATE :]]
    assert finals(results) == [(0.0, 2.5, 0.25), (2.5, 5.0, 2.75)]


def test_of_a_long_silence_the_end_is_heard_again(server: Forgetful, grpc_triton: FakeTriton, call: Caller) -> None:
    def source() -> Iterator[Any]:
        yield from [SECOND] * 20
        server.pause()
        yield SECOND[: 2 * 1600]

    results = stream(grpc_triton, call, source())
    assert len(server.heard[1]) == 2 * RATE * 5 + 2 * 1600
    assert results[-1].end == pytest.approx(20.1)


def test_a_long_segment_is_heard_again_as_a_whole(
    server: Forgetful, grpc_triton: FakeTriton, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = server.hear
    grpc_triton.live_model = lambda *piece: {**hear(*piece), "PARTIAL": "some", "START": 0.0}

    def source() -> Iterator[Any]:
        yield from [SECOND] * 18
        server.pause()
        yield SECOND

    stream(grpc_triton, call, source())
    assert server.heard[1] == SECOND * 19
    assert max(map(len, grpc_triton.live_pieces)) == 2 * RATE * live.LONGEST_PIECE_S


@pytest.mark.parametrize(
    ("after", "heard"),
    [
        ([], []),  # nothing is left to say
        ([FLUSH], []),
        ([FLUSH, FLUSH, SECOND], [SECOND]),
        ([bytes(100)], [bytes(100)]),  # it waited for more, and goes with the end
        ([bytes(100), FLUSH], [bytes(100)]),
    ],
)
def test_an_idle_stream_ends_without_an_error(
    server: Forgetful, grpc_triton: FakeTriton, call: Caller, after: list[Any], heard: list[bytes]
) -> None:
    def source() -> Iterator[Any]:
        yield SECOND
        yield FLUSH
        server.pause()
        yield from after

    results = stream(grpc_triton, call, source())
    assert server.heard == [SECOND, *heard]
    assert [result.flushed for result in results if result.is_final].count(True) == 1 + after.count(FLUSH)
    assert len([result for result in results if result.text]) == 1 + len(heard)


def test_a_chunk_may_end_within_a_sample(server: Forgetful, grpc_triton: FakeTriton, call: Caller) -> None:
    def source() -> Iterator[Any]:
        yield SECOND[:-1]
        yield FLUSH
        server.pause()
        yield SECOND[-1:] + SECOND

    stream(grpc_triton, call, source())
    assert server.heard == [SECOND[:-1], SECOND[-2:] + SECOND]


def test_without_idleness_it_is_lost(
    server: Forgetful, grpc_triton: FakeTriton, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "IDLE_S", 5.0)

    def source() -> Iterator[Any]:
        yield SECOND
        server.pause()
        yield SECOND

    with pytest.raises(StreamLost, match=r"Something was sent 0 s ago, so this stream was not idle: begin a new one"):
        stream(grpc_triton, call, source())


def test_a_server_that_has_no_place_any_more(server: Forgetful, grpc_triton: FakeTriton, call: Caller) -> None:
    hear = server.hear

    def full(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        if grpc_triton.seen[-1].is_first and number:
            raise Refusal("", "QUEUE_FULL: 64 live streams are under way")
        return hear(piece, number, is_last)

    grpc_triton.live_model = full

    def source() -> Iterator[Any]:
        yield SECOND
        server.pause()
        yield SECOND

    with pytest.raises(QueueFull):
        stream(grpc_triton, call, source())
    assert grpc_triton.discarded == ["asr_stream"]


def test_idleness_is_measured_from_piece_to_piece(
    server: Forgetful, grpc_triton: FakeTriton, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "IDLE_S", 0.3)

    def source() -> Iterator[Any]:
        yield SECOND
        time.sleep(0.4)
        server.pause()
        yield SECOND

    assert len(finals(stream(grpc_triton, call, source()))) == 1
    assert server.heard == [SECOND, SECOND * 2]


@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["", "flush", "settle", "keep"])), max_size=20))
def test_what_is_kept_is_the_end_of_what_was_sent(steps: list[tuple[int, str]]) -> None:
    kept, sent = Unfinished(rate=4, frame_bytes=6), b""
    for size, then in steps:
        kept.add(bytes(range(size)))
        sent += bytes(range(size))
        if then == "flush":
            kept.flush()
            assert kept.rest()[1] == b""
            assert kept.flushed == len(sent) // 6 * 6
        elif then == "settle":
            kept.settle(len(sent) // 2 / 24)
        elif then == "keep":
            kept.keep(0.5)
            assert len(kept.rest()[1]) < 12 + 6
        begin_s, audio = kept.rest()
        begin = round(begin_s * 24)
        assert begin % 6 == 0
        assert audio in (sent[begin:], b"")
        assert audio or len(sent) - begin < 6
        assert sum(len(piece) for _, piece in kept._pieces) <= len(sent) - begin + 50
