"""Pieces of recordings on their way to being whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from asr_contract.errors import AudioTooLong, ModelFailed, SequenceError
from asr_serving.long.uploads import IDLE_S, Uploads
from asr_serving.sequences import Piece


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads(100)
    yield made
    made.close()


def test_pieces_become_a_file(uploads: Uploads) -> None:
    assert uploads.add(Piece(1, b"he", {}, is_first=True, is_last=False)) is None
    assert uploads.add(Piece(2, b"other", {}, is_first=True, is_last=False)) is None
    file = uploads.add(Piece(1, b"llo", {}, is_first=False, is_last=True))
    assert file is not None
    with file:
        file.seek(0)
        assert file.read() == b"hello"
    assert uploads.count() == 1


def test_an_upload_that_is_given_up_is_gone(uploads: Uploads) -> None:
    uploads.add(Piece(1, b"he", {}, is_first=True, is_last=False))
    uploads.drop(1)
    uploads.drop(2)  # was never begun
    assert uploads.count() == 0
    with pytest.raises(SequenceError, match="not begun here"):
        uploads.add(Piece(1, b"llo", {}, is_first=False, is_last=True))


def test_one_piece_may_be_all() -> None:
    file = Uploads(100).add(Piece("text", b"hello", {}, is_first=True, is_last=True))
    assert file is not None
    file.close()


def test_a_second_beginning_begins_anew() -> None:
    uploads = Uploads(100)
    uploads.add(Piece(1, b"old", {}, is_first=True, is_last=False))
    uploads.add(Piece(1, b"new", {}, is_first=True, is_last=False))
    file = uploads.add(Piece(1, b"er", {}, is_first=False, is_last=True))
    assert file is not None
    with file:
        file.seek(0)
        assert file.read() == b"newer"


def test_what_was_not_begun_is_refused(uploads: Uploads) -> None:
    with pytest.raises(SequenceError, match="not begun here, or not continued for 60 s"):
        uploads.add(Piece(1, b"x", {}, is_first=False, is_last=True))
    file = uploads.add(Piece(1, b"x", {}, is_first=True, is_last=True))
    assert file is not None
    file.close()
    with pytest.raises(SequenceError, match="not begun here"):
        uploads.add(Piece(1, b"x", {}, is_first=False, is_last=False))


def test_one_that_nobody_goes_on_with_is_forgotten() -> None:
    now = [0.0]
    uploads = Uploads(100, clock=lambda: now[0])
    uploads.add(Piece(1, b"x", {}, is_first=True, is_last=False))
    now[0] = IDLE_S - 1
    uploads.add(Piece(2, b"x", {}, is_first=True, is_last=False))
    assert uploads.count() == 2
    now[0] = IDLE_S + 1
    uploads.add(Piece(2, b"x", {}, is_first=False, is_last=False))
    assert uploads.count() == 1
    with pytest.raises(SequenceError, match="not begun here"):
        uploads.add(Piece(1, b"x", {}, is_first=False, is_last=True))
    uploads.close()


def test_one_that_is_too_large_is_refused_and_forgotten() -> None:
    uploads = Uploads(10)
    uploads.add(Piece(1, b"123456", {}, is_first=True, is_last=False))
    with pytest.raises(AudioTooLong, match="larger than 10 bytes"):
        uploads.add(Piece(1, b"123456", {}, is_first=False, is_last=False))
    assert uploads.count() == 0


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = Uploads(100)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    with pytest.raises(ModelFailed, match="cannot keep the recording: No space left on device"):
        uploads.add(Piece(1, b"x", {}, is_first=True, is_last=False))
    assert uploads.count() == 0


def test_closing_gives_up_all() -> None:
    uploads = Uploads(100)
    uploads.add(Piece(1, b"x", {}, is_first=True, is_last=False))
    uploads.close()
    assert uploads.count() == 0
