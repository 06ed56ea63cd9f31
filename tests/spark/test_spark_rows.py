"""Arrow arrays of recordings become struct arrays of results: the work of a Spark task, without Spark."""

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from asr_client import (
    AccessDenied,
    Alternative,
    Client,
    DecodeOptions,
    InvalidRequest,
    ModelNotFound,
    OptionRefused,
    Transcription,
    Word,
)
from asr_client.testing import Handler, MockTransport
from asr_spark import worker
from asr_spark.availability import JobFailed
from asr_spark.room import Room
from asr_spark.tally import Tally
from asr_spark.worker import Settings, transcribe

SETTINGS = Settings(urls=("127.0.0.1:1",), concurrency=2)


def echo(request) -> Transcription:
    """The audio itself is the text."""
    return Transcription(request.audio.decode(), 0.5, 2.0, (Word("w", 0.0, 1.0, 0.5),))


def results(columns: Iterable[pa.Array], handler: Handler = echo, settings: Settings = SETTINGS) -> list[list[dict]]:
    """The results of each array."""
    arrays = transcribe(columns, settings, connect=lambda _: Client(transport=MockTransport(handler)))
    return [array.to_pylist() for array in arrays]


def texts(columns: Iterable[pa.Array]) -> list[list[str | None]]:
    return [[row and row["text"] for row in rows] for rows in results(columns)]


def test_a_recording_gives_all_fields() -> None:
    settings = Settings(urls=("127.0.0.1:1",), options=DecodeOptions(word_timestamps=True))
    assert results([pa.array([b"hello"])], settings=settings) == [
        [
            {
                "text": "hello",
                "confidence": 0.5,
                "duration": 2.0,
                "language": None,
                "words": [{"word": "w", "start": 0.0, "end": 1.0, "confidence": 0.5}],
                "error": None,
            }
        ]
    ]


def test_arrays_keep_their_lengths_and_rows_their_order() -> None:
    columns = [pa.array([b"a", b"b", b"c"]), pa.array([], pa.binary()), pa.array([b"d"]), pa.array([], pa.binary())]
    assert texts(columns) == [["a", "b", "c"], [], ["d"], []]


def test_no_array_gives_none() -> None:
    assert results([]) == []


def test_a_null_gives_a_null() -> None:
    assert texts([pa.array([b"a", None, b"b"])]) == [["a", None, "b"]]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_bytes(kind: pa.DataType) -> None:
    assert texts([pa.array([b"a", b"b"], kind)]) == [["a", "b"]]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_paths(kind: pa.DataType, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    assert texts([pa.array([str(tmp_path / "a.wav")], kind)]) == [["a"]]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_samples_are_sent_as_float32_with_their_rate(kind: pa.DataType) -> None:
    seen = []
    settings = Settings(urls=("127.0.0.1:1",), sampling_rate=8_000)
    column = pa.array([[0.0, 0.5], None, [0.25]], pa.list_(kind)).slice(0, 3)

    def model(request) -> Transcription:
        seen.append((len(request.audio), request.parameters["sample_rate"]))
        return Transcription("ok", 1.0, 1.0)

    assert [row and row["text"] for row in results([column], model, settings)[0]] == ["ok", None, "ok"]
    assert sorted(seen) == [(4, 8_000), (8, 8_000)]


def test_another_type_of_column_fails_the_task() -> None:
    with pytest.raises(TypeError, match="is int64 in Arrow; needs string, binary, or a list of float or double"):
        results([pa.array([1])])


def test_errors_are_results(tmp_path: Path) -> None:
    def model(request) -> Transcription:
        raise InvalidRequest("not audio")

    column = pa.array([b"", str(tmp_path / "gone.wav").encode(), None])
    empty, refused, null = results([column], model)[0]
    assert empty["error"] == {"type": "InvalidAudio", "message": "audio is empty: 0 bytes"}
    assert refused["error"] == {"type": "InvalidRequest", "message": "not audio"}
    assert refused["text"] is refused["words"] is null is None


def test_null_samples_are_an_error_of_their_row() -> None:
    settings = Settings(urls=("127.0.0.1:1",), sampling_rate=8_000)
    (row,) = results([pa.array([[0.0, None]], pa.list_(pa.float32()))], settings=settings)[0]
    assert row["error"] == {
        "type": "InvalidAudio",
        "message": "the array has 1 nulls among its 2 samples; needs numbers",
    }


def test_alternatives_have_a_field_when_they_are_asked_for() -> None:
    def model(request) -> Transcription:
        return Transcription("a", 0.5, 1.0, alternatives=(Alternative("a", -1.0), Alternative("b", -2.0)))

    settings = Settings(urls=("127.0.0.1:1",), options=DecodeOptions(decoder="beam", nbest=2))
    (row,) = results([pa.array([b"x"])], model, settings)[0]
    assert row["alternatives"] == [{"text": "a", "score": -1.0}, {"text": "b", "score": -2.0}]


@pytest.mark.parametrize("error", [AccessDenied, ModelNotFound, OptionRefused])
def test_what_concerns_every_row_fails_the_task_with_model_and_address(error: type[Exception]) -> None:
    def model(request) -> Transcription:
        raise error("no")

    with pytest.raises(JobFailed, match=f"model 'asr' at 127.0.0.1:1: {error.__name__}: no"):
        results([pa.array([b"a"])], model)


def test_requests_cross_the_borders_of_arrays() -> None:
    both = threading.Barrier(2, timeout=30)  # breaks unless two requests are under way together

    def model(request) -> Transcription:
        both.wait()
        return echo(request)

    assert [len(rows) for rows in results([pa.array([b"a"]), pa.array([b"b"])], model)] == [1, 1]


def test_rows_are_taken_when_a_request_is_free() -> None:
    taken = 0

    def columns() -> Iterator[pa.Array]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield pa.array([b"a"])

    arrays = transcribe(columns(), SETTINGS, connect=lambda _: Client(transport=MockTransport(echo)))
    next(arrays)
    assert taken <= 2 * SETTINGS.concurrency + 1
    arrays.close()


def test_the_tally_counts_rows_seconds_and_errors() -> None:
    def model(request) -> Transcription:
        if request.audio == b"bad":
            raise InvalidRequest("not audio")
        return echo(request)

    tallies: list[Tally] = []
    connect = lambda _: Client(transport=MockTransport(model))  # noqa: E731
    list(transcribe([pa.array([b"a", b"bad", None]), pa.array([b"b"])], SETTINGS, tallies.append, connect))
    (tally,) = tallies
    assert (tally.rows, tally.without_recording, tally.audio_s) == (4, 1, 4.0)
    assert tally.errors == {"InvalidRequest": 1}
    assert tally.first_s <= tally.last_s


def test_tallies_add_up() -> None:
    one = Tally(2, 1, 3.0, Counter(A=1), 10.0, 20.0)
    two = Tally(1, 0, 0.5, Counter(A=1, B=1), 5.0, 15.0)
    assert one.merged(two) == Tally(3, 1, 3.5, Counter(A=2, B=1), 5.0, 20.0)
    assert Tally().merged(one) == one


def test_large_recordings_are_sent_one_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(worker, "Room", lambda: Room(most_bytes=4))
    sending = threading.Lock()

    def model(request) -> Transcription:
        assert sending.acquire(blocking=False), "two were sent together"
        time.sleep(0.01)
        sending.release()
        return echo(request)

    (tmp_path / "five!").write_bytes(b"five!")
    paths = pa.array([str(tmp_path / "five!"), str(tmp_path / "gone"), str(tmp_path / "five!")])
    assert [row["text"] for row in results([paths], model)[0]] == ["five!", None, "five!"]
    assert [row["text"] for row in results([pa.array([b"abc", b"xyz", b"three"])], model)[0]] == ["abc", "xyz", "three"]


class TestFiles:
    @pytest.mark.parametrize("name", ["a b.wav", "ü.wav", "100%.wav", "a%20b.wav", "x#y.wav", "q?.wav", "a::b.wav"])
    def test_every_way_to_write_a_name(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(b"a")
        uri = (tmp_path / name).as_uri()  # percent-encoded
        raw, encoded = f"file:{tmp_path / name}", uri.replace("file://", "file:")
        column = pa.array([str(tmp_path / name), raw, encoded, uri, uri.replace("file://", "file://localhost")])
        assert texts([column]) == [["a"] * 5]

    def test_the_exact_name_goes_before_a_decoded_one(self, tmp_path: Path) -> None:
        (tmp_path / "a b").write_bytes(b"decoded")
        (tmp_path / "a%20b").write_bytes(b"exact")
        assert texts([pa.array([f"file:{tmp_path}/a%20b", f"file://{tmp_path}/a%20b"])]) == [["exact", "decoded"]]

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("", "the path is empty; needs a path, or a URI such as s3a://bucket/call.wav"),
            ("/nowhere/a.wav", "cannot read /nowhere/a.wav: No such file or directory"),
            ("file:/nowhere/a%20b.wav", "cannot read /nowhere/a%20b.wav: No such file or directory"),
            ("/", "cannot read /: it is no regular file"),
            ("a\0b", "cannot read 'a\\x00b': embedded null byte"),
            ("/" + "n" * 300, "File name too long"),
            ("gopher://host/a.wav", "cannot read gopher://host/a.wav: fsspec knows no scheme gopher:; needs a path, "),
        ],
    )
    def test_what_cannot_be_read_is_an_error_of_its_row(self, path: str, message: str) -> None:
        (row,) = results([pa.array([path])])[0]
        assert row["error"]["type"] == "InvalidAudio"
        assert message in row["error"]["message"]

    def test_a_pipe_does_not_keep_its_task_waiting(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (row,) = results([pa.array([str(tmp_path / "pipe")])])[0]
        assert "it is no regular file" in row["error"]["message"]

    def test_a_scheme_whose_package_is_missing(self) -> None:
        (row,) = results([pa.array(["gs://bucket/a.wav"])])[0]
        assert "a package is missing on the executors" in row["error"]["message"]
        assert "gcsfs" in row["error"]["message"]

    def test_without_fsspec(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec", None)
        (row,) = results([pa.array(["s3a://bucket/a.wav"])])[0]
        assert "remote files need the package fsspec on the executors" in row["error"]["message"]
