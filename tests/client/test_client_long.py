"""Recordings that the model does not take at once: in pieces to the model beside it, over gRPC."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asr_client import (
    Audio,
    Client,
    ClientClosed,
    DeadlineExceeded,
    DecodeOptions,
    InvalidRequest,
    MessageTooLarge,
    RetryPolicy,
    ServerError,
    StreamLost,
    Transcription,
    Word,
)
from client_caller import Caller
from fake_inference import FakeTriton, Refusal, Seen, serving

SEGMENTS = (
    Transcription("one two", 0.5, 10.0, (Word("one", 1.0, 1.5, 0.5), Word("two", 2.0, 2.5, 0.5))),
    Transcription("", 0.0, 15.0),
    Transcription(" three", 0.9, 20.0, (Word("three", 16.0, 17.0, 0.9),)),
)
PIECE = 2**20


def refuse_as_too_long(seen: Seen) -> Transcription:
    raise Refusal(
        "INVALID_ARGUMENT",
        "in ensemble 'asr', AUDIO_TOO_LONG: audio is too long: 90.00 s or more; this model takes up to 40 s",
    )


def segments(seen: Seen) -> Iterator[Transcription]:
    yield from SEGMENTS


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with serving(FakeTriton("grpc", model=refuse_as_too_long, long_model=segments)) as running:
        yield running


@pytest.mark.parametrize("times", ["word_timestamps", "timestamps"])
def test_what_is_too_long_goes_to_the_long_model(triton: FakeTriton, call: Caller, times: str) -> None:
    answer = call(triton.url, "grpc", "transcribe", b"RIFF" * 10, **{times: True})
    assert answer.text == "one two three"
    assert answer.duration == 20.0
    assert answer.confidence == pytest.approx((7 * 0.5 + 6 * 0.9) / 13)
    assert [word.word for word in answer.words] == ["one", "two", "three"]
    assert [seen.model for seen in triton.seen] == ["asr", "asr_long"]
    assert triton.seen[1].audio == b"RIFF" * 10
    assert triton.seen[1].parameters == {times: True}


def test_silence_may_have_no_segments(call: Caller) -> None:
    with serving(FakeTriton("grpc", model=refuse_as_too_long, long_model=lambda seen: iter(()))) as fake:
        answer = call(fake.url, "grpc", "transcribe", b"RIFF")
    assert answer == Transcription("", 0.0, 0.0)


def test_segments_are_told_as_they_come(triton: FakeTriton) -> None:
    told: list[Transcription] = []
    with Client(triton.url) as client:
        client.transcribe(b"RIFF", on_segment=told.append)
    assert [(segment.text, segment.duration) for segment in told] == [("one two", 10.0), ("", 15.0), (" three", 20.0)]


@pytest.mark.parametrize("size", [2 * PIECE, 2 * PIECE + 1])
def test_what_does_not_fit_a_message_goes_in_pieces(
    triton: FakeTriton, call: Caller, tmp_path: Path, size: int
) -> None:
    file = tmp_path / "long.wav"
    file.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    client = {"max_message_bytes": PIECE // 2}
    assert call(triton.url, "grpc", "transcribe", file, client=client).text == "one two three"
    assert [seen.model for seen in triton.seen] == ["asr_long"]
    assert triton.seen[0].audio == file.read_bytes()
    assert max(triton.pieces) <= PIECE // 2


def test_arrays_and_raw_samples_keep_their_format(triton: FakeTriton, call: Caller) -> None:
    import numpy as np

    audio = Audio(np.zeros((300_000, 2), np.int16), 8000)
    outcomes = call(triton.url, "grpc", "transcribe_many", [audio], client={"max_message_bytes": PIECE // 2})
    assert outcomes[0].unwrap().text == "one two three"
    assert triton.seen[0].parameters == {"encoding": "pcm_s16le", "sample_rate": 8000, "channels": 2}


def test_without_a_long_model_the_first_error_stands(triton: FakeTriton, call: Caller) -> None:
    triton.long_model = None
    with pytest.raises(InvalidRequest, match="audio is too long: 90.00 s"):
        call(triton.url, "grpc", "transcribe", b"RIFF")
    with pytest.raises(MessageTooLarge, match="600,000 bytes does not fit"):
        call(triton.url, "grpc", "transcribe", bytes(600_000), client={"max_message_bytes": PIECE // 2})


def test_http_has_no_streams(call: Caller) -> None:
    with (
        serving(FakeTriton("http", model=refuse_as_too_long, long_model=segments)) as triton,
        pytest.raises(InvalidRequest, match="audio is too long"),
    ):
        call(triton.url, "http", "transcribe", b"RIFF")


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        ("INVALID_AUDIO: WAV is cut short", InvalidRequest, "^WAV is cut short$"),
        ("MODEL_FAILED: out of memory", ServerError, "out of memory"),
        ("something new", ServerError, "something new"),
    ],
)
def test_errors_in_a_stream_are_what_they_are_elsewhere(
    triton: FakeTriton, call: Caller, message: str, kind: type[Exception], expected: str
) -> None:
    def fail(seen: Seen) -> Iterator[Transcription]:
        yield SEGMENTS[0]
        raise Refusal("", message)

    triton.long_model = fail
    with pytest.raises(kind, match=expected):
        call(triton.url, "grpc", "transcribe", b"RIFF")


def test_a_busy_server_is_asked_again(triton: FakeTriton, call: Caller) -> None:
    def busy_at_first(seen: Seen) -> Iterator[Transcription]:
        if len(triton.seen) <= 3:  # one of them to `asr`
            raise Refusal("", "QUEUE_FULL: the server has more long recordings")
        yield from SEGMENTS

    triton.long_model = busy_at_first
    retry = RetryPolicy(first_backoff_s=0.01)
    assert call(triton.url, "grpc", "transcribe", b"RIFF", client={"retry": retry}).text == "one two three"
    assert [seen.model for seen in triton.seen] == ["asr", *["asr_long"] * 3]


def test_the_deadline_is_for_silence(triton: FakeTriton, call: Caller) -> None:
    def slow(seen: Seen) -> Iterator[Transcription]:
        for segment in SEGMENTS:
            time.sleep(1)
            yield segment

    triton.long_model = slow
    assert call(triton.url, "grpc", "transcribe", b"RIFF", timeout_s=2.5).text == "one two three"
    with pytest.raises(DeadlineExceeded, match=r"0\.1 s"):
        call(triton.url, "grpc", "transcribe", b"RIFF", timeout_s=0.1)


def test_an_upload_of_a_client_that_is_closed_is_given_up(triton: FakeTriton, tmp_path: Path) -> None:
    file = tmp_path / "long.wav"
    file.write_bytes(bytes(20 * PIECE))
    client = Client(triton.url, max_message_bytes=20_000)
    with ThreadPoolExecutor(1) as thread:
        upload = thread.submit(client.transcribe, file)
        while len(triton.pieces) < 3:
            time.sleep(0.01)
        client.close()
        with pytest.raises(ClientClosed):
            upload.result(timeout=15)
    assert triton.discarded == ["asr_long"]


def test_a_recording_that_was_sent_is_not_given_up(triton: FakeTriton, call: Caller) -> None:
    call(triton.url, "grpc", "transcribe", b"RIFF")
    assert triton.discarded == []


def test_an_upload_that_the_server_has_forgotten(triton: FakeTriton, call: Caller) -> None:
    def forget(seen: Seen) -> Iterator[Transcription]:
        raise Refusal("", "inference request for sequence 7 to model 'asr_long' must specify the START flag")
        yield

    triton.long_model = forget
    with pytest.raises(StreamLost, match="has forgotten this stream"):
        call(triton.url, "grpc", "transcribe", b"RIFF")


def test_options_travel(triton: FakeTriton, call: Caller) -> None:
    options = DecodeOptions(hotwords="acme", decoder="beam", lm_weight=0.5)
    call(triton.url, "grpc", "transcribe", b"RIFF", options=options)
    assert triton.seen[1].parameters == {"hotwords": "acme", "decoder": "beam", "lm_weight": 0.5}
