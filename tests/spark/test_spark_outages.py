"""Rows wait for a server that is away; recordings that fail do not; a job with nobody to talk to ends."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from asr_client import (
    Client,
    DeadlineExceeded,
    ModelMismatch,
    QueueFull,
    RequestInterrupted,
    RetryPolicy,
    ServerUnavailable,
    Transcription,
)
from asr_client._calls.protocol import Infer
from asr_client.testing import MockTransport
from asr_spark import availability, worker
from asr_spark.attempts import FIRST, Attempt
from asr_spark.availability import JobFailed
from asr_spark.worker import Settings, transcribe

FOR_EVER = 1_000_000


class Server(MockTransport):
    """Answers with the audio as the text, unless it is away for the next requests, of any kind."""

    def __init__(self, away_for: int = 0) -> None:
        super().__init__(lambda request: Transcription(request.audio.decode(), 0.5, 1.0))
        self.away_for = away_for
        self.sent: list[bytes] = []
        self.before: Callable[[bytes], None] = lambda audio: None

    def send(self, operation, timeout_s):
        if isinstance(operation, Infer):
            self.sent.append(operation.audio)
            self.before(operation.audio)
        if self.away_for > 0:
            self.away_for -= 1
            raise ServerUnavailable("connection refused")
        return super().send(operation, timeout_s)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "PAUSE_S", 0.01)


def run(server: Server, *audio: bytes, fail_after_s: float = 60.0, attempt: Attempt = FIRST) -> list[dict]:
    settings = Settings(urls=("here:1", "there:2"), fail_after_s=fail_after_s, concurrency=4)
    retry = RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.001, max_attempts=3)
    connect = lambda _: Client(transport=server, retry=retry)  # noqa: E731
    column = pa.array(audio, pa.binary())
    return next(transcribe([column], settings, connect=connect, attempt=attempt)).to_pylist()


def test_a_task_waits_for_a_server_that_starts() -> None:
    assert [row["text"] for row in run(Server(away_for=20), b"a")] == ["a"]


def test_rows_outlive_an_outage() -> None:
    server = Server()
    seen = threading.Event()

    def fall(audio: bytes) -> None:
        if not seen.is_set():
            seen.set()
            server.away_for = 60

    server.before = fall
    assert [row["text"] for row in run(server, b"a", b"b", b"c")] == ["a", "b", "c"]


def test_with_nobody_there_the_task_fails_and_says_where() -> None:
    message = "nobody has answered for .* s .failAfterS is 0.2. at model 'asr' at here:1, there:2: connection refused"
    with pytest.raises(JobFailed, match=message):
        run(Server(away_for=FOR_EVER), b"a", fail_after_s=0.2)


def test_when_everybody_goes_the_task_fails() -> None:
    server = Server()

    def fall(audio: bytes) -> None:
        server.away_for = FOR_EVER

    server.before = fall
    with pytest.raises(JobFailed, match="nobody has answered"):
        run(server, b"a", b"b", fail_after_s=0.2)


def test_the_next_attempt_of_a_task_does_not_wait_again(tmp_path: Path) -> None:
    first, second = (Attempt(number, tmp_path / "note") for number in range(2))
    with pytest.raises(JobFailed, match="nobody has answered for"):
        run(Server(away_for=FOR_EVER), b"a", fail_after_s=0.1, attempt=first)
    with pytest.raises(JobFailed, match="after earlier attempts that gave up"):
        run(Server(away_for=FOR_EVER), b"a", fail_after_s=FOR_EVER, attempt=second)


def test_a_server_that_is_back_makes_the_next_attempt_patient_again(tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.touch()
    assert run(Server(), b"a", attempt=Attempt(1, note))[0]["text"] == "a"
    assert not note.exists()


def test_without_a_note_the_second_attempt_waits_and_the_third_does_not(tmp_path: Path) -> None:
    elsewhere = tmp_path / "note"
    assert run(Server(away_for=20), b"a", attempt=Attempt(1, elsewhere))[0]["text"] == "a"
    with pytest.raises(JobFailed, match="after earlier attempts that gave up"):
        run(Server(away_for=20), b"a", attempt=Attempt(2, elsewhere))


def test_an_attempt_that_was_answered_waits_for_the_server_to_come_back() -> None:
    server = Server()

    def fall(audio: bytes) -> None:
        if len(server.sent) == 1:
            server.away_for = 20

    server.before = fall
    assert [row["text"] for row in run(server, b"a", b"b", attempt=Attempt(3))] == ["a", "b"]


def test_a_recording_that_ends_the_server_is_an_error_and_its_neighbours_are_not() -> None:
    server, again = Server(), threading.Lock()

    def before(audio: bytes) -> None:
        if server.sent.count(audio) <= 3:  # the server ends with all of them, time and again
            raise RequestInterrupted("the server ended")
        assert again.acquire(blocking=False), "two of them were sent together again"
        time.sleep(0.01)
        again.release()
        if audio == b"poison":
            raise RequestInterrupted("the server ended")

    server.before = before
    rows = run(server, b"a", b"poison", b"b")
    assert [row["text"] for row in rows] == ["a", None, "b"]
    assert rows[1]["error"]["type"] == "RequestInterrupted"
    assert server.sent.count(b"poison") == 6


def test_a_recording_that_takes_too_long_is_sent_twice() -> None:
    server = Server()

    def before(audio: bytes) -> None:
        if audio == b"slow":
            raise DeadlineExceeded("no answer within 60 s")

    server.before = before
    slow, other = run(server, b"slow", b"b")
    assert (slow["error"]["type"], other["text"]) == ("DeadlineExceeded", "b")
    assert server.sent.count(b"slow") == 2


def test_a_full_server_is_asked_again_but_not_for_ever() -> None:
    server = Server()

    def before(audio: bytes) -> None:
        raise QueueFull("queue full")

    server.before = before
    (row,) = run(server, b"a")
    assert row["error"]["type"] == "QueueFull"
    assert len(server.sent) == worker.MAX_SENDS * 3


def test_another_kind_of_model_fails_the_task_before_any_row_is_sent() -> None:
    server = Server()

    def send(operation, timeout_s):
        raise ModelMismatch("input IMAGE")

    server.send = send
    with pytest.raises(JobFailed, match="model 'asr' at here:1, there:2: ModelMismatch: input IMAGE"):
        run(server, b"a")


def test_a_task_that_fails_leaves_no_thread_waiting() -> None:
    before = threading.active_count()
    server = Server()
    server.before = lambda audio: setattr(server, "away_for", FOR_EVER)
    with pytest.raises(JobFailed):
        run(server, b"a", b"b", b"c", b"d", fail_after_s=0.1)
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_files_that_are_missing_are_no_sign_of_a_server(tmp_path: Path) -> None:
    server, taken = Server(), 0

    def missing_for_ever() -> Iterator[pa.Array]:
        nonlocal taken
        yield pa.array([str(tmp_path / "there")])
        while True:
            taken += 1
            time.sleep(0.01)
            yield pa.array([str(tmp_path / "missing")])

    (tmp_path / "there").write_bytes(b"a")
    server.before = lambda audio: setattr(server, "away_for", FOR_EVER)
    settings = Settings(urls=("here:1",), fail_after_s=0.3, concurrency=2)
    retry = RetryPolicy(max_attempts=1)
    with pytest.raises(JobFailed, match="nobody has answered"):
        list(transcribe(missing_for_ever(), settings, connect=lambda _: Client(transport=server, retry=retry)))
    assert taken > 1
