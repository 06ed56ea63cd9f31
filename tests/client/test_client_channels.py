"""Channels one by one: what is asked for, how often a recording is sent, and what comes of wrong guesses."""

import asyncio
import io
import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asr_client import (
    AsyncClient,
    Audio,
    Client,
    InvalidAudio,
    InvalidOption,
    InvalidRequest,
    OptionRefused,
    QueueFull,
    RetryPolicy,
    ServerError,
    Transcription,
    Word,
)
from asr_client._calls.protocol import Infer
from asr_client.testing import MockTransport
from client_caller import Caller
from fake_inference import FakeTriton, Refusal, Seen, serving
from recordings import by_ffmpeg, by_soundfile

LEFT = Transcription("how are you thanks", 0.5, 9.0, tuple(
    Word(word, start, start + 0.3, 0.5) for word, start in (("how", 1), ("are", 1.3), ("you", 1.6), ("thanks", 5))
))  # fmt: skip
RIGHT = Transcription("fine and you", 1.0, 9.0, tuple(
    Word(word, start, start + 0.3, 1.0) for word, start in (("fine", 3), ("and", 3.3), ("you", 3.6))
))  # fmt: skip
TEXT = "how are you\nfine and you\nthanks"
SIDES = {0: LEFT, 1: RIGHT}


def of_channels(count: int) -> Callable[[Any], Transcription]:
    """A server's model for recordings with so many channels."""

    def model(seen: Any) -> Transcription:
        asked = seen.parameters
        if asked.get("of_channels", count) != count:
            plural = "s" if count > 1 else ""
            raise Refusal(
                "INVALID_ARGUMENT",
                f"in ensemble 'asr', INVALID_AUDIO: the recording has {count} channel{plural}; "
                f"of_channels={asked['of_channels']} needs {asked['of_channels']}",
            )
        return SIDES.get(asked.get("channel", 0), Transcription("", 0.0, 9.0))

    return model


def asked(fake: FakeTriton) -> list[tuple[object, object]]:
    """Which channels were asked for, and of how many; in no order within a round."""
    return [(seen.parameters["channel"], seen.parameters["of_channels"]) for seen in fake.seen]


@cache
def stereo() -> bytes:
    return by_ffmpeg("wav", "pcm_s16le", layout="stereo")


def test_two_channels_are_two_speakers(triton: FakeTriton, call: Caller) -> None:
    triton.model = of_channels(2)
    heard = call(triton.url, triton.protocol, "transcribe", stereo(), channels="separate")
    assert heard.text == TEXT
    assert [(segment.text, segment.speaker) for segment in heard.segments] == [
        ("how are you", "0"),
        ("fine and you", "1"),
        ("thanks", "0"),
    ]
    assert [word.speaker for word in heard.words] == ["0", "0", "0", "1", "1", "1", "0"]
    assert heard.duration == 9.0
    assert heard.confidence == pytest.approx((0.5 * 17 + 1.0 * 12) / 29)
    assert sorted(asked(triton)) == [(0, 2), (1, 2)]
    assert all(seen.parameters["word_timestamps"] is True for seen in triton.seen)


def test_mixed_channels_have_no_speakers_and_no_parameters(triton: FakeTriton, call: Caller) -> None:
    heard = call(triton.url, triton.protocol, "transcribe", stereo(), channels="mixed", word_timestamps=True)
    assert {word.speaker for word in heard.words} == {None}
    assert triton.seen[0].parameters.keys() & {"channel", "of_channels", "channels"} == set()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_wrong_guess_is_mended_by_the_refusal(grpc_triton: FakeTriton, call: Caller, channels: int) -> None:
    grpc_triton.model = of_channels(channels)
    heard = call(grpc_triton.url, "grpc", "transcribe", b"of no known form", channels="separate")
    assert {segment.speaker for segment in heard.segments} == {"0", "1"} if channels > 1 else {"0"}
    rest = [(channel, channels) for channel in range(channels)]
    assert sorted(asked(grpc_triton)[2:] if channels != 2 else asked(grpc_triton)) == rest


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        (lambda: by_soundfile("WAV", "PCM_16"), 1),
        (lambda: by_soundfile("RF64", "PCM_16"), 1),
        (lambda: by_soundfile("FLAC", "PCM_16"), 1),
        (lambda: by_soundfile("OGG", "VORBIS"), 1),
        (lambda: by_soundfile("OGG", "OPUS"), 1),
        (lambda: by_ffmpeg("mp3", "libmp3lame"), 1),
        (lambda: by_ffmpeg("flac", "flac", layout="5.1"), 6),
        (lambda: by_ffmpeg("ogg", "libopus", 48_000, layout="stereo"), 2),
        (lambda: by_ffmpeg("mp3", "libmp3lame", layout="stereo"), 2),
        (lambda: by_ffmpeg("wav", "pcm_s16le", layout="5.1"), 6),
    ],
)
def test_the_first_bytes_of_a_file_make_a_right_guess(
    grpc_triton: FakeTriton, data: Callable[[], bytes], channels: int
) -> None:
    grpc_triton.model = of_channels(channels)
    with Client(grpc_triton.url) as client:
        client.transcribe(data(), channels="separate")
    assert sorted(asked(grpc_triton)) == [(channel, channels) for channel in range(channels)]


def test_a_second_wrong_number_is_an_error(grpc_triton: FakeTriton, call: Caller) -> None:
    counts = iter((3, 3, 4, 4, 4))

    def model(seen: Seen) -> Transcription:
        return of_channels(next(counts))(seen)

    grpc_triton.model = model
    with pytest.raises(InvalidRequest, match="the recording has 4 channels; of_channels=3 needs 3"):
        call(grpc_triton.url, "grpc", "transcribe", b"unknown", channels="separate")


def test_raw_samples_and_arrays_tell_their_channels(grpc_triton: FakeTriton, call: Caller) -> None:
    grpc_triton.model = of_channels(2)
    raw = Audio(bytes(8000), 8000, "pcm_s16le", 2)
    assert call(grpc_triton.url, "grpc", "transcribe", raw, channels="separate").text == TEXT
    array = np.zeros((800, 2), np.float32)
    assert call(grpc_triton.url, "grpc", "transcribe", array, sampling_rate=8000, channels="separate").text == TEXT
    assert sorted(asked(grpc_triton)) == [(0, 2), (0, 2), (1, 2), (1, 2)]
    assert all(seen.parameters["channels"] == 2 for seen in grpc_triton.seen)


def test_too_many_channels(grpc_triton: FakeTriton, call: Caller) -> None:
    grpc_triton.model = of_channels(17)
    with pytest.raises(InvalidAudio, match="the recording has 17 channels; needs 16 or fewer"):
        call(grpc_triton.url, "grpc", "transcribe", b"unknown", channels="separate")
    assert len(grpc_triton.seen) == 2
    sixteen = np.zeros((800, 16), np.float32)
    grpc_triton.model = of_channels(16)
    assert call(grpc_triton.url, "grpc", "transcribe", sixteen, sampling_rate=8000, channels="separate").text == TEXT


def test_an_older_server_is_called_one(triton: FakeTriton, call: Caller) -> None:
    triton.refuse(
        "INVALID_ARGUMENT",
        "in ensemble 'asr', INVALID_PARAMETER: unknown parameter 'channel', 'of_channels'; needs some of encoding, vad",
    )
    with pytest.raises(OptionRefused, match="an earlier version of the kit exported it. Export it again"):
        call(triton.url, triton.protocol, "transcribe", stereo(), channels="separate")


def test_another_option_that_is_refused_is_named(triton: FakeTriton, call: Caller) -> None:
    triton.refuse("INVALID_ARGUMENT", "INVALID_PARAMETER: unknown parameter 'task'; needs some of encoding, channel")
    with pytest.raises(OptionRefused, match="^unknown parameter 'task'"):
        call(triton.url, triton.protocol, "transcribe", stereo(), channels="separate", task="translate")


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        ({"channels": "stereo"}, InvalidOption, "channels is 'stereo'; needs 'mixed', 'separate', or the number"),
        ({"channels": "separate", "decoder": "beam", "nbest": 2}, InvalidOption, "nbest is 2; needs 1 where channels"),
        ({"channels": "separate", "sampling_rate": 8000}, InvalidAudio, "sampling_rate is given for an audio file"),
        ({"channels": 2}, InvalidAudio, "channels is given for an audio file"),
    ],
)
def test_what_cannot_be_asked_for(
    grpc_triton: FakeTriton, call: Caller, named: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(grpc_triton.url, "grpc", "transcribe", stereo(), **named)
    assert grpc_triton.seen == []


def test_a_missing_file_is_named(grpc_triton: FakeTriton, call: Caller, tmp_path: Path) -> None:
    with pytest.raises(InvalidAudio, match="none.wav"):
        call(grpc_triton.url, "grpc", "transcribe", tmp_path / "none.wav", channels="separate")


class Once:
    """A recording that can be read only once, and only forward."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 50_000))


def fifo(data: bytes, folder: Path) -> Path:
    path = folder / "pipe"
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=[data]).start()
    return path


def parts(seen: Seen) -> Iterator[Transcription]:
    """Four seconds, and the rest."""
    whole = of_channels(2)(seen)
    for begin, end in ((0.0, 4.0), (4.0, 9.0)):
        words = tuple(word for word in whole.words if begin <= word.start < end)
        text = " ".join(word.word for word in words)
        yield Transcription(f" {text}" if begin and text else text, whole.confidence, end, words)


def refuse_as_too_long(seen: Seen) -> Transcription:
    of_channels(2)(seen)
    raise Refusal("INVALID_ARGUMENT", "AUDIO_TOO_LONG: audio is too long: 90.00 s; this model takes up to 40 s")


@pytest.fixture
def long_triton() -> Iterator[FakeTriton]:
    with serving(FakeTriton("grpc", model=refuse_as_too_long, long_model=parts)) as running:
        yield running


LARGE = 2**20
SMALL = {"max_message_bytes": 2**18}


@pytest.mark.parametrize("kind", ["bytes", "path", "file", "once", "fifo"])
def test_every_channel_gets_the_whole_recording(
    long_triton: FakeTriton, call: Caller, tmp_path: Path, kind: str
) -> None:
    data = stereo() + os.urandom(LARGE)
    path = tmp_path / "call.wav"
    path.write_bytes(b"before" + data if kind == "file" else data)
    sources: dict[str, Callable[[], Any]] = {
        "bytes": lambda: data,
        "path": lambda: path,
        "file": lambda: path.open("rb"),
        "once": lambda: Once(data),
        "fifo": lambda: fifo(data, tmp_path),
    }
    source = sources[kind]()
    if kind == "file":
        source.seek(6)  # it is sent from where it stands
    heard = call(long_triton.url, "grpc", "transcribe", source, channels="separate", client=SMALL)
    assert heard.text == TEXT
    assert [(seen.model, seen.audio == data) for seen in long_triton.seen] == [("asr_long", True)] * 2
    if kind == "file":
        assert not source.closed  # it is the caller's
        source.close()


def test_parts_of_a_long_recording_come_in_the_order_of_time(long_triton: FakeTriton, call: Caller) -> None:
    told: list[Transcription] = []
    heard = call(long_triton.url, "grpc", "transcribe", stereo(), channels="separate", on_segment=told.append)
    assert "".join(part.text for part in told) == heard.text == TEXT
    assert [part.duration for part in told] == sorted({part.duration for part in told})
    assert tuple(segment for part in told for segment in part.segments) == heard.segments


def test_the_others_end_when_one_channel_fails(call: Caller) -> None:
    def long_model(seen: Seen) -> Iterator[Transcription]:
        if seen.parameters["channel"] == 0:
            raise Refusal("", "MODEL_FAILED: a broken model")
        for second in range(1, 10_000):
            yield Transcription("word", 0.5, float(second), (Word("word", second - 0.5, second - 0.2, 0.5),))

    with (
        serving(FakeTriton("grpc", model=refuse_as_too_long, long_model=long_model)) as fake,
        pytest.raises(ServerError, match="a broken model"),
    ):
        call(fake.url, "grpc", "transcribe", stereo(), channels="separate")


def test_an_error_of_the_callers_own_function_is_its(long_triton: FakeTriton, call: Caller) -> None:
    def fail(part: Transcription) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call(long_triton.url, "grpc", "transcribe", stereo(), channels="separate", on_segment=fail)


def test_a_busy_server_is_asked_again(triton: FakeTriton, call: Caller) -> None:
    model = of_channels(2)

    def busy(seen: Seen) -> Transcription:
        if len(triton.seen) <= 3:
            raise Refusal("UNAVAILABLE", "Exceeds maximum queue size")
        return model(seen)

    triton.model = busy
    assert call(triton.url, triton.protocol, "transcribe", stereo(), channels="separate").text == TEXT


def test_without_retries_it_fails() -> None:
    def busy(request: Infer) -> Transcription:
        raise QueueFull("too much to do")

    with Client(transport=MockTransport(busy), retry=RetryPolicy(max_attempts=1)) as client, pytest.raises(QueueFull):
        client.transcribe(stereo(), channels="separate")


def test_many_recordings(grpc_triton: FakeTriton, call: Caller, tmp_path: Path) -> None:
    grpc_triton.model = of_channels(2)
    path = tmp_path / "a.wav"
    path.write_bytes(stereo())
    outcomes = call(
        grpc_triton.url, "grpc", "transcribe_many", [path, tmp_path / "none.wav", stereo()], channels="separate"
    )
    assert [outcome.transcription and outcome.transcription.text for outcome in outcomes] == [TEXT, None, TEXT]
    assert "none.wav" in str(outcomes[1].error)
    with pytest.raises(InvalidOption, match="channels is 'left'"):
        call(grpc_triton.url, "grpc", "transcribe_many", [path], channels="left")


def test_a_cancelled_call_ends_all_requests() -> None:
    entered: list[Any] = []
    left: list[Any] = []

    class Slow:
        supports_streams = False

        async def send(self, operation: Any, timeout_s: float | None) -> Any:
            entered.append(operation)
            try:
                await asyncio.sleep(60)
            finally:
                left.append(operation)

        async def aclose(self) -> None:
            pass

    async def cancel() -> None:
        async with AsyncClient(transport=Slow()) as client:  # type: ignore[type-var]
            task = asyncio.ensure_future(client.transcribe(stereo(), channels="separate"))
            while len(entered) < 2:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    assert len(left) == 2


def test_a_channel_in_which_nobody_speaks_may_have_no_parts(call: Caller) -> None:
    def long_model(seen: Seen) -> Iterator[Transcription]:
        return parts(seen) if seen.parameters["channel"] == 0 else iter(())

    told: list[Transcription] = []
    with serving(FakeTriton("grpc", model=refuse_as_too_long, long_model=long_model)) as fake:
        heard = call(fake.url, "grpc", "transcribe", stereo(), channels="separate", on_segment=told.append)
    assert (heard.text, heard.duration) == ("how are you thanks", 9.0)
    assert "".join(part.text for part in told) == heard.text
