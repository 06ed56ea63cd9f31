"""A recording travels once: file objects that can be read only once, and what is known to be too long beforehand."""

import asyncio
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asr_client import (
    AsyncClient,
    AudioTooLong,
    Client,
    InvalidAudio,
    MessageTooLarge,
    OptionRefused,
    QueueFull,
    RequestInterrupted,
    Transcription,
)
from asr_client._calls import limit
from asr_client._calls.protocol import Infer
from asr_client._uploads import FileSource
from asr_client.testing import MockTransport
from client_caller import Caller
from fake_inference import FakeTriton, Refusal, Seen, serving
from odd_recordings import fmt, riff

RATE = 8_000
LIMIT = 2**18
SMALL = {"max_message_bytes": LIMIT}
TOO_LONG = "AUDIO_TOO_LONG: audio is too long: 90.00 s or more; this model takes up to 40 s"


class Once:
    """A recording that can be read only once, and only forward."""

    def __init__(self, data: bytes, at: int | None = None, error: BaseException | None = None) -> None:
        self._file, self._at, self._error = io.BytesIO(data), at, error
        self.largest = 0

    def read(self, size: int) -> bytes:
        self.largest = max(self.largest, size)
        if self._error is not None and self._file.tell() >= (self._at or 0):
            raise self._error
        return self._file.read(min(size, 50_000))  # less than was asked for, as of a socket


def pipe(data: bytes) -> io.BufferedReader:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    threading.Thread(target=write).start()
    return os.fdopen(reading, "rb")


def numbered(size: int) -> bytes:
    return np.arange(size // 4, dtype="<u4").tobytes()


def heard(seen: Seen) -> Iterator[Transcription]:
    yield Transcription("one two", 0.5, 90.0)


def takes_up_to_40_s(seen: Seen) -> Transcription:
    """As a server whose recordings have 16,000 bytes a second, with or without a header."""
    if len(seen.audio) > 40 * 16_000 + 44:
        raise Refusal("INVALID_ARGUMENT", TOO_LONG)
    return Transcription("short", 0.5, 1.0)


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with serving(FakeTriton("grpc", model=takes_up_to_40_s, long_model=heard)) as running:
        yield running


@pytest.mark.parametrize("make", [Once, pipe, io.BytesIO], ids=["read alone", "pipe", "seekable"])
def test_a_file_object_of_any_size_goes_in_pieces(
    triton: FakeTriton, call: Caller, make: Callable[[bytes], Any]
) -> None:
    data = numbered(5 * LIMIT)
    source = make(data)
    assert call(triton.url, "grpc", "transcribe", source, client=SMALL).text == "one two"
    assert [seen.model for seen in triton.seen] == ["asr_long"]
    assert triton.seen[0].audio == data
    assert len(triton.pieces) > 4
    assert max(triton.pieces) <= LIMIT
    if hasattr(source, "close"):
        assert not source.closed  # it is the caller's
        source.close()


def test_a_file_object_is_sent_from_where_it_stands(triton: FakeTriton, call: Caller) -> None:
    data = numbered(3 * LIMIT)
    source = io.BytesIO(data)
    source.seek(1000)
    call(triton.url, "grpc", "transcribe", source, client=SMALL)
    assert triton.seen[0].audio == data[1000:]


def test_raw_samples_of_a_file_object_keep_their_format(triton: FakeTriton, call: Caller) -> None:
    raw = {"encoding": "pcm_s16le", "sampling_rate": 8000, "channels": 2}
    call(triton.url, "grpc", "transcribe", Once(numbered(2 * LIMIT)), client=SMALL, **raw)
    assert triton.seen[0].parameters == {"encoding": "pcm_s16le", "sample_rate": 8000, "channels": 2}


@pytest.mark.parametrize("size", [1000, 5 * LIMIT])
def test_the_path_of_a_pipe_is_opened_once(triton: FakeTriton, call: Caller, tmp_path: Path, size: int) -> None:
    path, data = tmp_path / "pipe", numbered(size)
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[data])
    writer.start()
    call(triton.url, "grpc", "transcribe", path, client=SMALL)
    writer.join(20)
    assert [seen.audio == data for seen in triton.seen] == [True]


def test_many_file_objects(triton: FakeTriton, call: Caller) -> None:
    sources = [Once(numbered(size)) for size in (3 * LIMIT, 1000, 2 * LIMIT)]
    outcomes = call(triton.url, "grpc", "transcribe_many", sources, client=SMALL)
    assert [outcome.unwrap().text for outcome in outcomes] == ["one two", "short", "one two"]
    assert sorted(len(seen.audio) for seen in triton.seen) == [1000, 2 * LIMIT, 3 * LIMIT]


def test_only_pieces_are_held() -> None:
    source = FileSource(Once(numbered(40 * 2**20)), None, bytearray(numbered(8 * 2**20))).open()
    sizes = []
    while source.read(2**20):
        sizes.append(sum(map(len, source._ahead)) + sum(map(len, source._given or [])))
    assert len(sizes) == 48
    assert sizes == sorted(sizes, reverse=True)  # what was read ahead goes
    assert sizes[-1] == 0


@pytest.mark.parametrize("start", [0, None], ids=["rewound", "held"])
def test_what_is_begun_again_is_whole(start: int | None) -> None:
    data = numbered(6 * 2**20)
    file = io.BytesIO(data)
    source = FileSource(file, start, bytearray(file.read(4 * 2**20)))  # more than is sent before the second time
    assert source.open().read(2**20) == data[: 2**20]
    assert source.obstacle() is None
    again = source.open()
    assert b"".join(iter(lambda: again.read(2**20), b"")) == data
    assert (source.obstacle() is None) == (start == 0)
    if start is None:
        with pytest.raises(
            InvalidAudio, match="cannot send the recording again: its file object can be read only once"
        ):
            source.open()


def test_without_two_way_streams_the_limit_of_a_message_stays(call: Caller) -> None:
    with serving(FakeTriton("http")) as triton, pytest.raises(MessageTooLarge, match="audio of unknown size"):
        call(triton.url, "http", "transcribe", Once(numbered(2 * LIMIT)), client=SMALL)
    assert triton.seen == []


def test_without_a_long_model_a_file_object_is_too_large(triton: FakeTriton, call: Caller) -> None:
    triton.long_model = None
    with pytest.raises(MessageTooLarge, match="audio of unknown size does not fit"):
        call(triton.url, "grpc", "transcribe", Once(numbered(2 * LIMIT)), client=SMALL)


def test_an_empty_file_object_is_refused(triton: FakeTriton, call: Caller) -> None:
    with pytest.raises(InvalidAudio, match="0 bytes$"):
        call(triton.url, "grpc", "transcribe", Once(b""))
    at_its_end = io.BytesIO(b"RIFF")
    at_its_end.seek(4)
    with pytest.raises(InvalidAudio, match=r"at byte 4: call its seek\(0\) first"):
        call(triton.url, "grpc", "transcribe", at_its_end)


def busy_for(times: int, triton: FakeTriton, message: str) -> Callable[[Seen], Iterator[Transcription]]:
    """Refuse so many recordings, after their last piece."""

    def model(seen: Seen) -> Iterator[Transcription]:
        if len(triton.seen) <= times:
            raise Refusal("", message)
        yield from heard(seen)

    return model


def test_what_can_be_rewound_is_sent_again(triton: FakeTriton, call: Caller) -> None:
    triton.long_model = busy_for(2, triton, "STOPPING: the server is stopping")
    data = numbered(12 * LIMIT)
    source = io.BytesIO(b"before" + data)
    source.seek(6)
    assert call(triton.url, "grpc", "transcribe", source, client=SMALL).text == "one two"
    assert [seen.audio == data for seen in triton.seen] == [True] * 3


def test_what_cannot_be_rewound_is_sent_again_while_it_is_held(triton: FakeTriton, call: Caller) -> None:
    triton.long_model = busy_for(1, triton, "QUEUE_FULL: later")
    data = numbered(2 * LIMIT)
    assert call(triton.url, "grpc", "transcribe", Once(data), client=SMALL).text == "one two"
    assert [seen.audio == data for seen in triton.seen] == [True] * 2


@pytest.mark.parametrize(
    ("message", "kind"),
    [("QUEUE_FULL: later", QueueFull), ("CANCELLED: the process ended", RequestInterrupted)],
)
def test_what_is_gone_fails_and_says_why(triton: FakeTriton, call: Caller, message: str, kind: type[Exception]) -> None:
    triton.long_model = busy_for(9, triton, message)
    expected = r"was not sent again: its file object can be read only once; one that has seek\(\), or a path"
    with pytest.raises(kind, match=expected):
        call(triton.url, "grpc", "transcribe", Once(numbered(12 * LIMIT)), client=SMALL)
    assert len(triton.seen) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError("peer"), InvalidAudio),
        (ValueError("closed"), InvalidAudio),
        (RuntimeError("a bug of the caller"), RuntimeError),
    ],
)
def test_an_upload_that_cannot_be_read_on_leaves_nothing_behind(
    triton: FakeTriton, call: Caller, error: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(expected, match=str(error)):
        call(triton.url, "grpc", "transcribe", Once(numbered(12 * LIMIT), 8 * LIMIT, error), client=SMALL)
    assert triton.pieces  # it had begun
    assert triton.discarded == ["asr_long"]
    assert triton.seen == []


def as_path(audio: bytes, folder: Path) -> Path:
    file = folder / "long.wav"
    file.write_bytes(audio)
    return file


@pytest.mark.parametrize("source", [as_path, lambda audio, folder: Once(audio)], ids=["path", "file object"])
def test_a_task_that_is_cancelled_leaves_nothing_behind(
    triton: FakeTriton, tmp_path: Path, source: Callable[[bytes, Path], Any]
) -> None:
    audio = source(numbered(40 * LIMIT), tmp_path)

    async def ask() -> None:
        async with AsyncClient(triton.url, max_message_bytes=20_000) as client:
            task = asyncio.create_task(client.transcribe(audio))
            while len(triton.pieces) < 3:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(ask())
    assert triton.discarded == ["asr_long"]
    assert triton.seen == []


# What is known to be too long.


@pytest.fixture
def asks_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small recordings suffice for a client to ask for the limit."""
    monkeypatch.setattr(limit, "_ASK_FROM_BYTES", 100_000)


def samples(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), np.int16)


def wav(seconds: float, claimed: int | None = None) -> bytes:
    """One of 8 bit and 16 kHz."""
    data = bytes(int(16_000 * seconds))
    size = len(data) if claimed is None else claimed
    return riff(fmt(bits=8)) + b"data" + size.to_bytes(4, "little") + data


def sent_to(triton: FakeTriton, is_async: bool, recordings: list[Any], **named: Any) -> list[str]:
    """The models that the recordings of one client went to."""

    async def ask() -> None:
        async with AsyncClient(triton.url) as client:
            for recording in recordings:
                await client.transcribe(recording, **named)

    if is_async:
        asyncio.run(ask())
    else:
        with Client(triton.url) as client:
            for recording in recordings:
                client.transcribe(recording, **named)
    return [seen.model for seen in triton.seen]


@pytest.mark.usefixtures("asks_early")
def test_the_first_refusal_tells_the_limit(triton: FakeTriton, call: Caller) -> None:
    recordings = [samples(50), samples(50), samples(40), samples(41)]
    models = sent_to(triton, call.is_async, recordings, sampling_rate=RATE)
    assert models == ["asr", "asr_long", "asr_long", "asr", "asr_long"]


ENSEMBLE = {
    "asr": {"ensemble_scheduling": {"step": [{"model_name": "preprocess"}, {"model_name": "acoustic"}]}},
    "preprocess": {"parameters": {"max_audio_seconds": {"string_value": "40"}}},
}
WHISPER = {**ENSEMBLE, "asr": {"parameters": {"preprocess": {"string_value": "preprocess"}}}}


@pytest.mark.usefixtures("asks_early")
@pytest.mark.parametrize("settings", [ENSEMBLE, WHISPER], ids=["ensemble", "whisper"])
def test_a_server_that_tells_its_limit_gets_no_recording_twice(
    triton: FakeTriton, call: Caller, settings: dict[str, Any]
) -> None:
    triton.settings = settings
    recordings = [wav(41), io.BytesIO(wav(41)), Once(wav(41, claimed=0xFFFFFFFF)), wav(40), wav(1)]
    assert sent_to(triton, call.is_async, recordings) == ["asr_long", "asr_long", "asr_long", "asr", "asr"]
    assert triton.seen[2].audio == wav(41, claimed=0xFFFFFFFF)


@pytest.mark.usefixtures("asks_early")
def test_options_that_long_recordings_lack_go_to_the_model_itself(triton: FakeTriton, call: Caller) -> None:
    triton.settings = ENSEMBLE

    def refuse(seen: Seen) -> Iterator[Transcription]:
        raise Refusal("", "INVALID_PARAMETER: nbest is for recordings that the model takes at once")
        yield

    triton.long_model = refuse
    with pytest.raises(OptionRefused, match="nbest"):
        call(triton.url, "grpc", "transcribe", wav(41), decoder="beam", nbest=2)
    assert [seen.model for seen in triton.seen] == ["asr", "asr_long"]


@pytest.mark.usefixtures("asks_early")
def test_without_a_long_model_the_limit_is_named(triton: FakeTriton, call: Caller) -> None:
    triton.settings, triton.long_model = ENSEMBLE, None
    with pytest.raises(AudioTooLong, match="41.00 s or more; this model takes up to 40 s") as caught:
        call(triton.url, "grpc", "transcribe", wav(41))
    assert caught.value.limit_s == 40.0
    assert triton.seen == []


@pytest.mark.usefixtures("asks_early")
def test_over_http_the_server_decides(call: Caller) -> None:
    with serving(FakeTriton("http", model=takes_up_to_40_s)) as triton:
        with pytest.raises(AudioTooLong) as caught:
            call(triton.url, "http", "transcribe", wav(41))
        assert caught.value.limit_s == 40.0
        assert [seen.model for seen in triton.seen] == ["asr"]


@pytest.mark.usefixtures("asks_early")
def test_a_mock_transport_counts_what_travels() -> None:
    asked: list[str] = []

    def handler(request: Infer) -> Transcription:
        asked.append(request.model)
        if request.model == "asr":
            raise AudioTooLong("too long", limit_s=40.0)
        return Transcription("hi", 0.5, 50.0)

    with Client(transport=MockTransport(handler)) as client:
        for _ in range(2):
            assert client.transcribe(samples(50), sampling_rate=RATE).text == "hi"
    assert asked == ["asr", "asr_long", "asr_long"]
