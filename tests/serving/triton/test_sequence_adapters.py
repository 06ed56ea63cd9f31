"""The adapters for long recordings and live streams, with the real decode step behind them."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fake_triton
import numpy as np
import pytest
from fake_triton import InferenceRequest, TritonError

from tests.serving.ctc.test_greedy import LABELS

RATE = 16_000
START, END = 1, 2
PCM = {"encoding": "pcm_s16le", "sample_rate": RATE}
LONG = {
    "acoustic": "acoustic",
    "ctc_decode": "ctc_decode",
    "sampling_rate": "16000",
    "min_samples": "400",
    "max_seconds": "60",
    "max_bytes": "4000000",
    "window_seconds": "20",
    "recordings": "1",
    "max_queue": "1",
    "windows": "2",
}
STREAM = {
    "acoustic": "acoustic",
    "ctc_decode": "ctc_decode",
    "min_samples": "400",
    "max_streams": "2",
    "before_seconds": "2",
    "chunk_seconds": "0.32",
    "after_seconds": "0.16",
    "endpoint_seconds": "0.8",
    "longest_seconds": "20",
    "context_seconds": "2",
}
LOUD = (12_000 * np.sin(np.arange(RATE) / 7)).astype("<i2").tobytes()  # a second
QUIET = bytes(2 * RATE)


def acoustic(inputs: dict[str, np.ndarray], _: dict[str, object]) -> dict[str, np.ndarray]:
    """Hear an A where it begins to be loud, and nothing elsewhere."""
    samples = inputs["audio"][0]
    frames = (len(samples) - 400) // 320 + 1
    loud = [np.abs(samples[320 * i : 320 * i + 320]).max() > 0.1 for i in range(frames)]
    log_probs = np.full((1, frames, len(LABELS.labels)), -9.0, np.float32)
    for index, is_loud in enumerate(loud):
        log_probs[0, index, 2 if is_loud and not (index and loud[index - 1]) else 0] = -0.01
    return {"log_probs": log_probs, "frames": np.array([[frames]], np.int32)}


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "labels.json").write_text(json.dumps(asdict(LABELS)), encoding="utf-8")
    decode = fake_triton.load("ctc_decode", tmp_path)

    def ctc_decode(inputs: dict[str, np.ndarray], parameters: dict[str, object]) -> dict[str, np.ndarray]:
        (answer,) = decode.execute([InferenceRequest(inputs, **parameters)])
        if answer.error:
            raise answer.error
        return dict(answer.outputs)

    fake_triton.MODELS.update(acoustic=acoustic, ctc_decode=ctc_decode)
    yield tmp_path
    fake_triton.MODELS.clear()


@pytest.fixture
def long(labels: Path) -> Iterator[Any]:
    model = fake_triton.load("asr_long", labels, LONG)
    yield model
    model.finalize()


@pytest.fixture
def stream(labels: Path) -> Iterator[Any]:
    model = fake_triton.load("asr_stream", labels, STREAM)
    yield model
    model.finalize()


def piece(data: bytes, flags: int, key: object = 1, **parameters: Any) -> InferenceRequest:
    return InferenceRequest({"AUDIO": np.array([[data]], dtype=object)}, key, flags, **{**PCM, **parameters})


def send(model: Any, data: bytes, flags: int, key: object = 1, **parameters: Any) -> list[Any]:
    """The responses to a piece, the final one last."""
    request = piece(data, flags, key, **parameters)
    model.execute([request])
    wait_for(lambda: bool(request.sent) and request.sent[-1][1] == "final")
    return [response for response, _ in request.sent]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def code(responses: list[Any]) -> int | None:
    return responses[-1].error and responses[-1].error.code


def test_pieces_of_a_recording_become_its_transcript(long: Any) -> None:
    (first,) = send(long, LOUD + QUIET, START)
    assert first.outputs["TRANSCRIPT"].tolist() == [[b""]]
    *segments, last = send(long, QUIET + LOUD, END, word_timestamps=True)
    assert b"".join(segment.outputs["TRANSCRIPT"][0, 0] for segment in segments) == b"A A"
    assert segments[-1].outputs["DURATION"].tolist() == [[4.0]]
    assert "SEGMENTS" not in last.outputs  # which a Whisper has
    words = [word for segment in segments for word in json.loads(segment.outputs["WORDS"][0, 0])]
    assert [round(word["start"]) for word in words] == [0, 3]
    assert last.outputs["TRANSCRIPT"].tolist() == [[b""]]


@pytest.mark.parametrize(
    ("data", "flags", "parameters", "error", "triton_code"),
    [
        (LOUD, START | END, {"hotwords": "XYZ"}, "INVALID_PARAMETER: hotword 'XYZ' has", TritonError.INVALID_ARG),
        (LOUD, START | END, {"nbest": 2}, "INVALID_PARAMETER: nbest is for recordings", TritonError.INVALID_ARG),
        (LOUD, START | END, {"encoding": "mp3"}, "INVALID_PARAMETER: encoding is 'mp3'", TritonError.INVALID_ARG),
        (LOUD, START | END, {"silence_ms": 500}, "INVALID_PARAMETER: silence_ms is for live", TritonError.INVALID_ARG),
        (61 * LOUD, START | END, {}, "AUDIO_TOO_LONG: audio is too long", TritonError.INVALID_ARG),
        (130 * LOUD, START | END, {}, "AUDIO_TOO_LONG: recording is larger", TritonError.INVALID_ARG),
        (LOUD[:-1], START | END, {}, "INVALID_AUDIO: ", TritonError.INVALID_ARG),
        (LOUD, END, {}, "UNKNOWN_SEQUENCE: this upload was not begun here", TritonError.INVALID_ARG),
    ],
)
def test_a_recording_that_is_refused(
    long: Any, data: bytes, flags: int, parameters: dict[str, Any], error: str, triton_code: int
) -> None:
    responses = send(long, data, flags, **parameters)
    assert str(responses[-1].error).startswith(error)
    assert code(responses) == triton_code


def test_with_vad_a_tone_is_no_speech(long: Any, stream: Any) -> None:
    *segments, _ = send(long, 3 * LOUD, START | END, vad=True)
    assert {segment.outputs["TRANSCRIPT"][0, 0] for segment in segments} == {b""}
    (only,) = send(stream, 3 * LOUD, START | END, vad="true")
    assert json.loads(only.outputs["FINALS"][0, 0]) == []
    for model in (long, stream):
        refused = send(model, LOUD, START | END, 2, vad="loud")
        assert str(refused[-1].error) == "INVALID_PARAMETER: vad is 'loud'; needs true or false"


def test_one_channel_of_a_recording(long: Any) -> None:
    both = np.stack([np.frombuffer(LOUD, "<i2"), np.zeros(RATE, "<i2")], axis=1).tobytes()
    for channel, text in ((0, b"A"), (1, b"")):
        *segments, _ = send(long, both, START | END, channel, channels=2, channel=channel, of_channels="2")
        assert b"".join(segment.outputs["TRANSCRIPT"][0, 0] for segment in segments) == text
    refused = send(long, both, START | END, 3, channels=2, channel=0, of_channels=1)
    assert str(refused[-1].error) == "INVALID_AUDIO: the recording has 2 channels; of_channels=1 needs 1"
    (at_once,) = send(long, LOUD, START, 4, channel="left")  # before the rest of it is sent
    assert str(at_once.error).startswith("INVALID_PARAMETER: channel is 'left'; needs a whole number from 0 to 63")


def test_a_live_stream_has_no_channel_of_its_own(stream: Any) -> None:
    (refused,) = send(stream, LOUD, START, channel=0)
    assert str(refused.error) == (
        "INVALID_PARAMETER: channel is for recordings, not for live streams: send one channel alone"
    )


def test_a_model_behind_that_fails_is_no_fault_of_the_caller(long: Any) -> None:
    def broken(*_: Any) -> Any:
        raise TritonError("the graph failed", TritonError.INTERNAL)

    fake_triton.MODELS["acoustic"] = broken
    responses = send(long, LOUD, START | END)
    assert (str(responses[-1].error), code(responses)) == ("MODEL_FAILED: the graph failed", TritonError.INTERNAL)


def test_recordings_that_are_too_many_are_refused_at_once(long: Any) -> None:
    for key in (1, 2):
        send(long, LOUD, START, key)
    responses = send(long, LOUD, START, 3)
    assert str(responses[-1].error) == "QUEUE_FULL: the server has more long recordings than it can handle"
    assert code(responses) == TritonError.UNAVAILABLE


def test_a_recording_whose_caller_has_gone_is_not_told_further(long: Any) -> None:
    request = piece(LOUD + 2 * QUIET + LOUD, START | END)
    request.cancelled = True
    long.execute([request])
    wait_for(lambda: bool(request.sent))
    assert [flags for _, flags in request.sent] == ["final"]


def test_a_live_stream(stream: Any) -> None:
    (one,) = send(stream, LOUD, START)
    assert one.outputs["PARTIAL"].tolist() == [[b"A"]]
    assert one.outputs["DURATION"].tolist() == [[1.0]]
    assert one.outputs["STABLE"].dtype == np.int32
    assert one.outputs["START"].tolist() == [[0.0]]
    (two,) = send(stream, 2 * QUIET, 0)
    (final,) = json.loads(two.outputs["FINALS"][0, 0])
    assert (final["text"], [word["word"] for word in final["words"]]) == ("A", ["A"])
    assert two.outputs["PARTIAL"].tolist() == [[b""]]
    assert two.outputs["START"].tolist() == [[-1.0]]
    (three,) = send(stream, LOUD, END)
    assert [final["text"] for final in json.loads(three.outputs["FINALS"][0, 0])] == ["A"]
    assert str(send(stream, LOUD, 0)[-1].error).startswith("UNKNOWN_SEQUENCE: ")


def finals(responses: list[Any]) -> list[tuple[str, float, float]]:
    told = json.loads(responses[-1].outputs["FINALS"][0, 0])
    return [(final["text"], final["start"], final["end"]) for final in told]


def test_a_flush_ends_the_segment_of_a_stream(stream: Any) -> None:
    half = LOUD[:RATE]
    assert finals(send(stream, half, START, flush=True)) == [("A", 0.0, 0.5)]
    assert finals(send(stream, b"", 0, flush="true")) == []
    assert finals(send(stream, half, 0)) == []
    assert finals(send(stream, b"", END, flush=True)) == [("A", 0.5, 1.0)]


@pytest.mark.parametrize(("parameters", "segments"), [({}, 1), ({"silence_ms": 300}, 2), ({"silence_ms": "1500"}, 1)])
def test_the_silence_that_ends_a_segment_of_a_stream(stream: Any, parameters: dict[str, Any], segments: int) -> None:
    word, pause = LOUD[: 2 * 3_200], QUIET[: 2 * 6_400]
    (only,) = send(stream, word + pause + word, START | END, **parameters)
    assert len(json.loads(only.outputs["FINALS"][0, 0])) == segments


def test_streams_share_a_call_and_a_bad_one_touches_no_other(stream: Any) -> None:
    requests = [piece(LOUD, START, 1), piece(LOUD, START, 2, sample_rate=1), piece(LOUD, 0, 3)]
    stream.execute(requests)
    ((good, _),), ((bad, _),), ((unknown, _),) = (request.sent for request in requests)
    assert good.outputs["PARTIAL"].tolist() == [[b"A"]]
    assert str(bad.error).startswith("INVALID_PARAMETER: sample_rate is 1")
    assert str(unknown.error).startswith("UNKNOWN_SEQUENCE: ")


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"encoding": "file", "sample_rate": None}, "INVALID_PARAMETER: encoding is 'file'; a live stream needs"),
        ({"nbest": 2}, "INVALID_PARAMETER: nbest is for recordings that the model takes at once, not for live"),
        ({"decoder": "magic"}, "INVALID_PARAMETER: decoder is 'magic'"),
        ({"silence_ms": 50}, "INVALID_PARAMETER: silence_ms is 50; needs a whole number from 100 to 10000"),
        ({"flush": "now"}, "INVALID_PARAMETER: flush is 'now'; needs true or false"),
    ],
)
def test_a_stream_that_is_refused_takes_no_place(stream: Any, parameters: dict[str, Any], error: str) -> None:
    wished = {name: value for name, value in {**PCM, **parameters}.items() if value is not None}
    request = InferenceRequest({"AUDIO": np.array([[LOUD]], dtype=object)}, 9, START, **wished)
    stream.execute([request])
    assert str(request.sent[-1][0].error).startswith(error)
    for key in (1, 2):
        assert code(send(stream, LOUD, START, key)) is None
    responses = send(stream, LOUD, START, 3)
    assert code(responses) == TritonError.UNAVAILABLE
    assert str(responses[-1].error).startswith("QUEUE_FULL: 2 live streams are under way")


def test_what_its_caller_gives_up_frees_its_place_at_once(long: Any, stream: Any) -> None:
    for model in (long, stream):
        for key in (1, 2):
            assert code(send(model, LOUD, START, key)) is None
        assert code(send(model, b"", END, 1, discard=True)) is None
        assert code(send(model, LOUD, START, 3)) is None
        assert code(send(model, LOUD, START, 4)) == TritonError.UNAVAILABLE


def test_a_server_that_is_about_to_stop_takes_nothing_new(
    long: Any, stream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(stream, LOUD, START)
    (tmp_path / "stopping").touch()
    monkeypatch.setenv("TRITON_ASR_STOPPING", str(tmp_path / "stopping"))
    for model in (long, stream):
        responses = send(model, LOUD, START, 7)
        assert (str(responses[-1].error), code(responses)) == (
            "STOPPING: the server is stopping",
            TritonError.UNAVAILABLE,
        )
    assert code(send(stream, LOUD, END)) is None  # what was begun goes on
