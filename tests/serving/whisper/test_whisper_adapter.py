"""The adapters of a Whisper: the model that callers know, and the one with the graphs that it sends windows to."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_cuda
import fake_triton
import numpy as np
import pytest
from asr_serving.whisper.service import Service
from fake_triton import InferenceRequest, TritonError, TritonModelException

GENERATE = {"intra_op_thread_count": "1", "max_rows": "4", "max_queue": "8"}
LONG = 150_000  # samples of noise that take more than one window
FRONT = {"preprocess": "preprocess", "whisper_generate": "whisper_generate", "recordings": "4", "max_queue": "2"}


@pytest.fixture
def folder(whisper_artefacts: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model folder as Triton has it."""
    shutil.copytree(whisper_artefacts("multilingual"), tmp_path / "1")
    return tmp_path


@pytest.fixture
def generate(folder: Path) -> Iterator[Any]:
    model = fake_triton.load("whisper_generate", folder, GENERATE)
    yield model
    model.finalize()


@pytest.fixture
def front(folder: Path, generate: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The model that callers know, which finds the other one, and a preprocess step that takes float32 samples."""

    def write(inputs: dict[str, np.ndarray], _: dict[str, object]) -> dict[str, np.ndarray]:
        (answer,) = fake_triton.eventually(generate, [InferenceRequest(inputs)])
        if answer.error:
            raise answer.error
        outputs: dict[str, np.ndarray] = answer.outputs
        return outputs

    def prepare(inputs: dict[str, np.ndarray], parameters: dict[str, object]) -> dict[str, np.ndarray]:
        """Speech is where the samples are loud, if somebody asks."""
        data = inputs["AUDIO"][0, 0]
        if data == b"noise":
            raise TritonError("INVALID_AUDIO: this is no audio", TritonError.INVALID_ARG)
        samples = np.frombuffer(data, np.float32)[None]
        loud = np.flatnonzero(np.abs(samples[0]) > 0) if parameters.get("vad") else np.zeros(0, int)
        stretches = np.split(loud, np.flatnonzero(np.diff(loud) > 1_000) + 1)
        speech = [place for each in stretches if len(each) for place in (each[0], each[-1] + 1)] or [0, 0]
        return {
            "audio": samples,
            "duration": np.array([[samples.size / 16_000]], np.float32),
            "speech": np.array([speech], np.int32),
        }

    monkeypatch.setattr(fake_triton, "MODELS", {"whisper_generate": write, "preprocess": prepare})
    model = fake_triton.load("asr_whisper", folder, FRONT)
    yield model
    model.finalize()


def request(samples: np.ndarray | bytes, **parameters: object) -> InferenceRequest:
    data = samples if isinstance(samples, bytes) else samples.astype(np.float32).tobytes()
    return InferenceRequest({"AUDIO": np.array([[data]], dtype=object)}, **parameters)


def noise(samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(samples).normal(size=samples)


def test_each_recording_has_its_own_answer(front: Any, folder: Path) -> None:
    limit = {"max_new_tokens": 10}
    answers = fake_triton.eventually(
        front,
        [
            request(noise(16_000), **limit, language="de", timestamps=True),
            request(noise(100), **limit, language="klingon"),
            request(np.full(500, np.nan), **limit),
            request(noise(80_000), **limit),
            InferenceRequest({"AUDIO": np.array([[b"a"], [b"b"]], dtype=object)}),
            request(b"noise"),
        ],
    )
    codes = [answer.error and answer.error.code for answer in answers]
    assert codes == [
        None,
        TritonError.INVALID_ARG,
        TritonError.INTERNAL,
        None,
        TritonError.INVALID_ARG,
        TritonError.INVALID_ARG,
    ]
    assert "NaN" in str(answers[2].error)
    assert "INVALID_AUDIO: this is no audio" in str(answers[5].error)
    first, last = answers[0].outputs, answers[3].outputs
    assert first["LANGUAGE"].tolist() == [[b"de"]]
    assert first["TRANSCRIPT"].shape == first["CONFIDENCE"].shape == (1, 1)
    assert first["CONFIDENCE"].dtype == np.float32
    assert all(word.keys() == {"word", "start", "end", "confidence"} for word in json.loads(first["WORDS"][0, 0]))
    segments = [segment for outputs in (first, last) for segment in json.loads(outputs["SEGMENTS"][0, 0])]
    assert all(segment["temperature"] == 0 and segment["avg_logprob"] < 0 for segment in segments)
    assert all(segment["end"] <= 1 for segment in json.loads(first["SEGMENTS"][0, 0]))  # the recording has a second
    assert "".join(segment["text"] for segment in segments)
    assert last["WORDS"].tolist() == [[b"[]"]]
    assert last["DURATION"].tolist() == [[5.0]]
    with Service.load(folder / "1") as alone:  # window by window it is what it is in one process
        (expected,) = alone.answer([(noise(80_000).astype(np.float32), alone.codec.options(limit))])
    assert last["TRANSCRIPT"][0, 0].decode() == expected.text


def test_only_the_parts_with_speech_are_written_where_a_voice_detector_is_asked_for(
    front: Any, folder: Path, generate: Any
) -> None:
    windows: list[int] = []
    encode = generate.engine._backend.encode
    generate.engine._backend.encode = lambda features, *beside: (
        windows.append(len(features)) or encode(features, *beside)
    )
    spoken = noise(20_000)
    padded = np.concatenate((np.zeros(48_000), spoken, np.zeros(100_000)))
    asked = {"vad": True, "timestamps": True, "language": "de", "max_new_tokens": 20}
    silent, heard = fake_triton.eventually(front, [request(np.zeros(90_000), **asked), request(padded, **asked)])
    assert silent.outputs["TRANSCRIPT"].tolist() == [[b""]]
    assert silent.outputs["WORDS"].tolist() == [[b"[]"]]
    assert windows == [1]
    with Service.load(folder / "1") as alone:
        recording = alone.codec.recording(spoken.astype(np.float32), alone.codec.options(asked), whole_windows=False)
        recording.take(alone._engine.submit(recording.task()).result(60))
        expected = alone.codec.answer(recording.transcript().shifted(3.0), alone.codec.options(asked))
    assert heard.outputs["TRANSCRIPT"][0, 0].decode() == expected.text
    assert json.loads(heard.outputs["WORDS"][0, 0]) == expected.words
    assert all(3 <= word["start"] <= word["end"] for word in expected.words)


@pytest.mark.parametrize("asked", [{"language": "de"}, {}], ids=["named", "detected"])
def test_parts_with_speech_are_written_side_by_side(front: Any, folder: Path, asked: dict[str, Any]) -> None:
    """What is written is what it was one part after the other."""
    pause, spoken = np.zeros(48_000), [noise(length) for length in (20_000, 31_000, 9_000, 25_000, 16_000)]
    asked = {"vad": True, "timestamps": True, "max_new_tokens": 12, **asked}
    padded = np.concatenate([piece for part in spoken for piece in (pause, part)])
    (heard,) = fake_triton.eventually(front, [request(padded, **asked)])
    expected: list[dict[str, Any]] = []
    with Service.load(folder / "1") as alone:
        options, place = alone.codec.options(asked), 0
        for part in spoken:
            place += len(pause)
            recording = alone.codec.recording(part.astype(np.float32), options, whole_windows=False)
            recording.take(alone._engine.submit(recording.task()).result(60))
            transcript = recording.transcript().shifted(place / 16_000)
            options = replace(options, language=transcript.language)
            expected += alone.codec.answer(transcript, options).words
            place += len(part)
    assert json.loads(heard.outputs["WORDS"][0, 0]) == expected
    assert len({word["start"] for word in expected}) >= 3  # the model writes nothing for some


def test_after_the_caller_has_gone_no_further_part_is_written(front: Any, generate: Any) -> None:
    windows: list[int] = []
    encode = generate.engine._backend.encode
    gone = request(np.concatenate([np.zeros(48_000), noise(20_000)] * 12), vad=True, max_new_tokens=10, language="de")

    def note(*asked: Any) -> Any:
        windows.append(len(asked[0]))
        gone.cancelled = True
        return encode(*asked)

    generate.engine._backend.encode = note
    (answer,) = fake_triton.eventually(front, [gone])
    assert answer.error.code == TritonError.CANCELLED
    assert len(windows) <= 3  # of twelve


def test_more_recordings_than_may_wait_are_refused(front: Any, generate: Any) -> None:
    held = threading.Event()
    encode = generate.engine._backend.encode
    generate.engine._backend.encode = lambda *asked: held.wait(60) and encode(*asked)
    requests = [request(noise(1_000), max_new_tokens=2) for _ in range(7)]
    front.execute(requests)
    assert requests[6].sent[0][0].error.code == TritonError.UNAVAILABLE
    assert "QUEUE_FULL" in str(requests[6].sent[0][0].error)
    held.set()
    for taken in requests[:6]:
        wait_until(lambda taken=taken: taken.sent)
        assert taken.sent[0][0].error is None


def test_who_waits_when_the_server_stops_gets_an_answer(front: Any, generate: Any) -> None:
    held = threading.Event()
    encode = generate.engine._backend.encode
    generate.engine._backend.encode = lambda *asked: held.wait(60) and encode(*asked)
    requests = [request(noise(1_000), max_new_tokens=2) for _ in range(6)]
    front.execute(requests)
    stopping = threading.Thread(target=front.finalize)
    stopping.start()
    for waiting in requests[4:]:  # four are under way
        wait_until(lambda waiting=waiting: waiting.sent)
        assert waiting.sent[0][0].error.code == TritonError.UNAVAILABLE
        assert "STOPPING" in str(waiting.sent[0][0].error)
    held.set()
    stopping.join(60)
    assert all(begun.sent[0][0].error is None for begun in requests[:4])


def test_after_the_caller_has_gone_no_further_window_is_written(front: Any, generate: Any) -> None:
    windows: list[int] = []
    encode = generate.engine._backend.encode
    requests = [request(noise(LONG), max_new_tokens=10) for _ in range(2)]
    stays, goes = requests

    def note(features: np.ndarray, *beside: bool) -> Any:
        windows.append(len(features))
        goes.cancelled = len(windows) == 1 and bool(stays.sent)
        return encode(features, *beside)

    generate.engine._backend.encode = note
    (answer,) = fake_triton.eventually(front, [stays])
    assert answer.error is None
    assert len(windows) > 1
    windows.clear()
    (answer,) = fake_triton.eventually(front, [goes])
    assert answer.error.code == TritonError.CANCELLED
    assert windows == [1]


def test_after_the_callers_time_no_further_token_is_written(front: Any, generate: Any) -> None:
    late = request(noise(LONG))
    late.timeout_us = 100_000
    encode = generate.engine._backend.encode
    generate.engine._backend.encode = lambda *asked: time.sleep(0.3) or encode(*asked)
    (answer,) = fake_triton.eventually(front, [late])
    assert answer.error.code == TritonError.CANCELLED
    assert "time was over" in str(answer.error)


def test_a_window_that_is_none_is_refused(generate: Any) -> None:
    features = np.zeros((80, 200), np.float32)
    texts = (b"{}", b"no JSON", b'{"options": {"prompt": []}, "frames": 1, "seed": 0, "deadline": 1}')
    requests = [InferenceRequest({"features": features, "window": np.array([text], dtype=object)}) for text in texts]
    for answer in fake_triton.eventually(generate, requests):
        assert answer.error.code == TritonError.INVALID_ARG
        assert "not a window of Whisper" in str(answer.error)


def test_a_graph_that_fails_is_the_error_of_the_windows_it_ran_for(front: Any, generate: Any) -> None:
    def run_out_of_memory(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    generate.engine._backend.encode = run_out_of_memory
    failed, refused = fake_triton.eventually(front, [request(noise(100)), request(noise(100), task="sing")])
    assert (failed.error.code, refused.error.code) == (TritonError.INTERNAL, TritonError.INVALID_ARG)
    assert "out of memory" in str(failed.error)


def test_idle_threads_of_its_sessions_leave_the_processors_to_others(generate: Any) -> None:
    backend = generate.engine._backend
    for graph in (backend._encoder, backend._decoder):
        options = graph.session.get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("model", ["asr_whisper", "whisper_generate"])
@pytest.mark.parametrize("parameters", [{}, {**FRONT, **GENERATE}])
def test_a_misspelt_setting_is_refused_at_load(model: str, parameters: dict[str, str], folder: Path) -> None:
    with pytest.raises(TritonModelException, match="parameters are .*; needs"):
        fake_triton.load(model, folder, parameters)


def test_a_gpu_without_cuda_is_refused_at_load(folder: Path) -> None:
    with pytest.raises(TritonModelException, match="GPU 1.*no CUDAExecutionProvider.*onnxruntime-gpu"):
        fake_triton.load("whisper_generate", folder, GENERATE, gpu=1)


def test_on_a_gpu_all_graphs_run_there_and_rows_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = fake_cuda.install(monkeypatch)
    model = fake_triton.load("whisper_generate", folder, GENERATE, gpu=2)
    assert cuda.sessions == [{"device_id": "2", "cudnn_conv_algo_search": "HEURISTIC"}] * 2
    assert model.engine._backend.moves_rows is False
    model.finalize()


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("asr_whisper", "whisper.json"),
        ("asr_whisper", "tokenizer.json"),
        ("asr_whisper", "mel_filters.npy"),
        ("whisper_generate", "whisper.json"),
        ("whisper_generate", "encoder.onnx"),
        ("whisper_generate", "decoder.onnx"),
    ],
)
def test_a_missing_file_is_named_at_load(model: str, file: str, folder: Path) -> None:
    (folder / "1" / file).unlink()
    # Without its decoder a folder looks like one of three graphs.
    named = "encoder_model.onnx" if file == "decoder.onnx" else file
    with pytest.raises(TritonModelException, match=named):
        fake_triton.load(model, folder, FRONT if model == "asr_whisper" else GENERATE)


def wait_until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)
