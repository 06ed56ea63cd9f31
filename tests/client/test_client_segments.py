"""Segments of transcripts: those that the server gives, and those that the client makes of words and windows."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from asr_client import AudioTooLong, Client, Segment, Transcription, Word
from asr_client.testing import MockTransport
from client_caller import Caller
from fake_inference import FakeTriton, Refusal, Seen, serving
from hypothesis import given
from hypothesis import strategies as st

MEASURED = (
    Segment("one", 0.0, 2.0, 0.75, -0.25, 0.9, 0.01, 0.0),
    Segment("two", 2.5, 4.0, 0.5, -0.5, 1.1, 0.02, 0.2),
)


def parts(transcription: Transcription) -> list[tuple[str, float, float]]:
    return [(segment.text, segment.start, segment.end) for segment in transcription.segments]


A, B, C = ("a", 1.0, 2.0), ("b", 2.5, 3.0), ("c", 3.6, 4.0)
HELLO, BYE = ("你好。", 1.0, 2.0), ("再见", 2.5, 3.0)


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        pytest.param("a b", [A, B], [("a b", 1.0, 3.0)], id="a short pause"),
        pytest.param("a b c", [A, B, C], [("a b", 1.0, 3.0), C], id="a pause"),
        pytest.param("a. b", [("a.", 1.0, 2.0), B], [("a.", 1.0, 2.0), B], id="sentences"),
        pytest.param("Mr. b", [("Mr.", 1.0, 2.4), B], [("Mr. b", 1.0, 3.0)], id="a full stop that ends none"),
        pytest.param("你好。再见", [HELLO, BYE], [HELLO, BYE], id="without spaces"),
        pytest.param("你 好", [("你", 1.0, 2.0), ("好", 2.0, 3.0)], [("你 好", 1.0, 3.0)], id="spaces of the text"),
        pytest.param("no such", [A, B], [("a b", 1.0, 3.0)], id="words of another text"),
        pytest.param(" a\n b ", [A, (" ", 2.0, 2.1), B], [("a b", 1.0, 3.0)], id="white space"),
        pytest.param(" a b ", [], [("a b", 0.0, 60.0)], id="without words"),
        pytest.param(" ", [], [], id="without text"),
    ],
)
def test_a_transcript_is_divided_at_pauses(
    text: str, words: list[tuple[str, float, float]], expected: list[tuple[str, float, float]]
) -> None:
    said = tuple(Word(word, start, end, 0.5) for word, start, end in words)
    assert parts(Transcription(text, 0.25, 60.0, said)) == expected


def test_what_has_no_pause_is_cut_within_30_s() -> None:
    words = [Word(f"w{number}", number, number + 1.0, 0.5) for number in range(100)]
    words[37] = replace(words[37], start=37.25)
    segments = Transcription(" ".join(word.word for word in words), 0.5, 100.0, tuple(words)).segments
    assert [segment.start for segment in segments] == [0.0, 18.0, 37.25, 53.0, 69.0, 84.0]
    assert all(segment.end - segment.start <= 30 for segment in segments)
    assert " ".join(segment.text for segment in segments) == " ".join(word.word for word in words)
    whole = (Word("endless", 0.0, 50.0, 0.5), Word("word", 50.1, 51.0, 0.5))
    assert parts(Transcription("endless word", 0.5, 60.0, whole)) == [("endless", 0.0, 50.0), ("word", 50.1, 51.0)]


def test_the_confidence_of_a_segment_is_that_of_its_words() -> None:
    words = (Word("one", 0, 1, 0.5), Word("nine", 1, 2, 1.0), Word("six", 9, 10, 0.25))
    heard = Transcription("one nine six", 0.1, 10.0, words)
    assert [segment.confidence for segment in heard.segments] == [pytest.approx((3 * 0.5 + 4) / 7), 0.25]
    assert Transcription("one", 0.1, 10.0).segments[0].confidence == 0.1


@given(
    st.lists(st.tuples(st.sampled_from(["a", "bc.", "北京", " ", "ไทย"]), st.floats(0, 2), st.floats(0, 2)), max_size=8)
)
def test_no_word_is_lost_and_segments_are_in_order(drawn: list[tuple[str, float, float]]) -> None:
    words, now = [], 0.0
    for word, pause, length in drawn:
        words.append(Word(word, now + pause, now + pause + length, 0.5))
        now = words[-1].end
    text = " ".join(word.word for word in words)
    segments = Transcription(text, 0.5, now, tuple(words)).segments
    assert "".join("".join(segment.text.split()) for segment in segments) == "".join(text.split())
    assert bool(segments) == bool(text.strip())
    assert all(segment.text == segment.text.strip() for segment in segments)
    assert all(before.end <= after.start for before, after in pairwise(segments))


def test_the_segments_of_a_whisper_are_its_own(grpc_triton: FakeTriton, call: Caller) -> None:
    words = (Word("one", 0.5, 1.0, 0.5), Word("two", 2.5, 3.0, 0.5))
    grpc_triton.model = lambda seen: Transcription("one two", 0.5, 5.0, words, segments=MEASURED)
    grpc_triton.tells_segments = True
    asked = {"timestamps": True, "word_timestamps": True}
    answer = call(grpc_triton.url, "grpc", "transcribe", b"RIFF", **asked)
    assert answer.segments == MEASURED
    assert [word.word for word in answer.words] == ["one", "two"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_an_older_server_tells_the_segments_of_a_whisper_in_place_of_words(call: Caller, protocol: str) -> None:
    words = (Word("one two.", 0.5, 1.0, 0.5), Word("three", 1.0, 3.0, 0.25))
    with serving(FakeTriton(protocol, model=lambda seen: Transcription("one two. three", 0.5, 5.0, words))) as older:
        answer = call(older.url, protocol, "transcribe", b"RIFF", timestamps=True)
        assert answer.segments == (Segment("one two.", 0.5, 1.0, 0.5), Segment("three", 1.0, 3.0, 0.25))
        assert answer.words == words
        both = call(older.url, protocol, "transcribe", b"RIFF", timestamps=True, word_timestamps=True)
        assert parts(both) == [("one two. three", 0.5, 3.0)]
        assert parts(call(older.url, protocol, "transcribe", b"RIFF")) == [("one two. three", 0.0, 5.0)]


def too_long(seen: Seen) -> Transcription:
    raise Refusal("INVALID_ARGUMENT", "AUDIO_TOO_LONG: audio is too long: 90 s; this model takes up to 40 s")


def test_the_windows_of_a_long_recording_are_segments(grpc_triton: FakeTriton, call: Caller) -> None:
    def windows(seen: Seen) -> Iterator[Transcription]:
        yield Transcription("one", 0.5, 10.0)
        yield Transcription("", 0.0, 15.0)
        yield Transcription(" two", 0.75, 20.5)

    grpc_triton.model, grpc_triton.long_model = too_long, windows
    told: list[Transcription] = []
    answer = call(grpc_triton.url, "grpc", "transcribe", b"RIFF", on_segment=told.append)
    assert answer.segments == (Segment("one", 0.0, 10.0, 0.5), Segment("two", 15.0, 20.5, 0.75))
    assert [segment for part in told for segment in part.segments] == list(answer.segments)


def test_with_words_a_window_is_divided_at_its_pauses(grpc_triton: FakeTriton, call: Caller) -> None:
    def windows(seen: Seen) -> Iterator[Transcription]:
        yield Transcription("one two", 0.5, 10.0, (Word("one", 1, 2, 0.5), Word("two", 5, 6, 0.5)))
        yield Transcription(" three", 0.5, 20.0, (Word("three", 11, 12, 0.5),))

    grpc_triton.model, grpc_triton.long_model = too_long, windows
    answer = call(grpc_triton.url, "grpc", "transcribe", b"RIFF", word_timestamps=True)
    assert parts(answer) == [("one", 1, 2), ("two", 5, 6), ("three", 11, 12)]


def test_a_mock_transport_gives_segments() -> None:
    def handler(request: object) -> Transcription:
        return Transcription("one two", 0.5, 5.0, segments=MEASURED)

    def refuse(request: object) -> Transcription:
        if request.model == "asr":
            raise AudioTooLong("too long")
        return handler(request)

    for mock in (handler, refuse):
        with Client(transport=MockTransport(mock)) as client:
            assert client.transcribe(b"RIFF").segments == MEASURED
