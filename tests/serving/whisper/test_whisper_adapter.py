"""The Whisper adapter on a batch of good and bad requests: each one has its own answer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_cuda
import fake_triton
import numpy as np
import pytest
from fake_triton import InferenceRequest, TritonError, TritonModelException

PARAMETERS = {"intra_op_thread_count": "1"}


@pytest.fixture
def folder(whisper_artefacts: Callable[[str], Path], tmp_path: Path) -> Path:
    """A model folder as Triton has it."""
    shutil.copytree(whisper_artefacts("multilingual"), tmp_path / "1")
    return tmp_path


def request(samples: np.ndarray, **parameters: object) -> InferenceRequest:
    return InferenceRequest({"audio": samples[None].astype(np.float32)}, **parameters)


def noise(samples: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(samples).normal(size=samples)


def test_each_request_of_a_batch_has_its_own_answer(folder: Path) -> None:
    model = fake_triton.load("whisper_generate", folder, PARAMETERS)
    limit = {"max_new_tokens": 10}
    answers = model.execute(
        [
            request(noise(16_000), **limit, language="de", timestamps=True),
            request(noise(100), **limit, language="klingon"),
            request(np.full(500, np.nan), **limit),
            request(noise(50_000), **limit),
            InferenceRequest({"audio": np.zeros((2, 100), np.float32)}),
        ]
    )
    codes = [answer.error and answer.error.code for answer in answers]
    assert codes == [None, TritonError.INVALID_ARG, TritonError.INTERNAL, None, TritonError.INVALID_ARG]
    assert "NaN" in str(answers[2].error)
    first, last = answers[0].outputs, answers[3].outputs
    assert first["LANGUAGE"].tolist() == [[b"de"]]
    assert first["TRANSCRIPT"].shape == first["CONFIDENCE"].shape == (1, 1)
    assert first["CONFIDENCE"].dtype == np.float32
    assert all(word.keys() == {"word", "start", "end", "confidence"} for word in json.loads(first["WORDS"][0, 0]))
    assert last["WORDS"].tolist() == [[b"[]"]]


def test_a_batch_of_bad_requests_alone(folder: Path) -> None:
    model = fake_triton.load("whisper_generate", folder, PARAMETERS)
    (answer,) = model.execute([request(noise(100), decoder="magic")])
    assert answer.error.code == TritonError.INVALID_ARG


def test_a_graph_that_fails_is_the_error_of_the_requests_it_ran_for(folder: Path) -> None:
    model = fake_triton.load("whisper_generate", folder, PARAMETERS)

    def run_out_of_memory(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    model.service.graphs.encode = run_out_of_memory
    failed, refused = model.execute([request(noise(100)), request(noise(100), task="sing")])
    assert (failed.error.code, refused.error.code) == (TritonError.INTERNAL, TritonError.INVALID_ARG)
    assert "out of memory" in str(failed.error)


def test_idle_threads_of_its_sessions_leave_the_processors_to_others(folder: Path) -> None:
    graphs = fake_triton.load("whisper_generate", folder, PARAMETERS).service.graphs
    for session in (graphs._encoder, graphs._decoder, graphs._decoder_with_past):
        assert session.get_session_options().get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize("parameters", [{}, {**PARAMETERS, "threads": "2"}])
def test_a_misspelt_setting_is_refused_at_load(parameters: dict[str, str], folder: Path) -> None:
    with pytest.raises(TritonModelException, match="parameters are .*; needs"):
        fake_triton.load("whisper_generate", folder, parameters)


def test_a_gpu_without_cuda_is_refused_at_load(folder: Path) -> None:
    with pytest.raises(TritonModelException, match="GPU 1.*no CUDAExecutionProvider.*onnxruntime-gpu"):
        fake_triton.load("whisper_generate", folder, PARAMETERS, gpu=1)


def test_on_a_gpu_all_graphs_run_there_and_finished_rows_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = fake_cuda.install(monkeypatch)
    graphs = fake_triton.load("whisper_generate", folder, PARAMETERS, gpu=2).service.graphs
    assert cuda.sessions == [{"device_id": "2", "cudnn_conv_algo_search": "HEURISTIC"}] * 3
    assert graphs._device == ("cuda", 2)
    assert graphs.drops_rows is False


def test_rows_that_stay_in_the_batch_change_no_answer(folder: Path) -> None:
    model = fake_triton.load("whisper_generate", folder, PARAMETERS)
    requests = [(noise(10_000 + 1_000 * most), {"max_new_tokens": most}) for most in (2, 3, 5, 30)]
    said = []
    for drops_rows in (True, False):
        model.service.graphs.drops_rows = drops_rows
        answers = model.execute([request(samples, **options) for samples, options in requests])
        said.append([{name: array.tolist() for name, array in answer.outputs.items()} for answer in answers])
    assert said[0] == said[1]
    assert len({str(answer) for answer in said[0]}) > 1


@pytest.mark.parametrize("file", ["whisper.json", "tokenizer.json", "mel_filters.npy", "decoder_model.onnx"])
def test_a_missing_file_is_named_at_load(file: str, folder: Path) -> None:
    (folder / "1" / file).unlink()
    with pytest.raises(TritonModelException, match=file):
        fake_triton.load("whisper_generate", folder, PARAMETERS)
