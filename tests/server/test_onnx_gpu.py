"""The stand-in backend on a GPU: the device, its options, how it runs a batch there, and what it refuses."""

import fcntl
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_cuda
import numpy as np
import onnxruntime
import pytest
import tiny_models
from asr_contract import gpu
from asr_server.backends.onnxruntime import onnx_cuda
from fake_backend_host import RAGGED, load, request
from fake_cuda import FakeCuda
from fake_triton import answers


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return fake_cuda.install(monkeypatch)


def parameters(**values: str) -> dict[str, Any]:
    return {key: {"string_value": value} for key, value in values.items()}


def accelerators(name: str = "cuda", device: str = "gpu", **values: str) -> dict[str, Any]:
    return {"execution_accelerators": {f"{device}_execution_accelerator": [{"name": name, "parameters": values}]}}


def test_an_instance_runs_on_its_own_gpu_with_its_options(backend: ModuleType, tmp_path: Path, cuda: FakeCuda) -> None:
    model = load(
        backend,
        tmp_path,
        tiny_models.dense_double(),
        gpu=3,
        parameters=parameters(cudnn_conv_algo_search="1", gpu_mem_limit="1000"),
        optimization=accelerators(use_tf32="0", cudnn_conv_algo_search="DEFAULT"),
    )
    assert cuda.sessions == [
        {"device_id": "3", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "gpu_mem_limit": "1000"}
    ]
    (answer,) = model.execute([request(["y", "total"], x=[[1, 2]])])
    assert {name: array.tolist() for name, array in answer.outputs.items()} == {"y": [[2, 4]], "total": [[3]]}


def test_a_ragged_batch_is_one_run_that_is_marked_as_work(
    backend: ModuleType, tmp_path: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "gpu-work"
    work.touch()
    monkeypatch.setenv(gpu.WORK_FILE, str(work))
    model = load(backend, tmp_path, tiny_models.ragged_sums(), gpu=0, **RAGGED)
    run, is_marked = model._session.run_with_iobinding, []

    def look(*arguments: Any) -> None:
        with work.open("rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_marked.append(True)
        run(*arguments)

    monkeypatch.setattr(model._session, "run_with_iobinding", look)
    lengths = [40_000, 100, 50_000, 100]
    got = answers(model, [request(["frames"], audio=np.ones((1, length))) for length in lengths])
    assert [answer.outputs["frames"].tolist() for answer in got] == [[[length]] for length in lengths]
    assert is_marked == [True]
    with work.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is free again


def test_a_failing_run_is_an_error_of_its_requests(backend: ModuleType, tmp_path: Path, cuda: FakeCuda) -> None:
    model = load(backend, tmp_path, tiny_models.dense_double(), gpu=0)
    got = answers(model, [request(["y"], x=[[1, 2, 3]]), request(["y"], x=[[1, 2, 3]])])
    assert ["onnx runtime error: " in str(answer.error) for answer in got] == [True, True]


@pytest.mark.parametrize("config", [None, "instance_group { kind: KIND_GPU }", "instance_group {"])
def test_without_cuda_an_instance_for_a_gpu_is_refused(backend: ModuleType, tmp_path: Path, config: str | None) -> None:
    if config:
        (tmp_path / "config.pbtxt").write_text(config)
    with pytest.raises(gpu.NoCuda, match=r"GPU 1, but onnxruntime .* has no CUDA.*server-gpu.*KIND_CPU"):
        load(backend, tmp_path, tiny_models.dense_double(), gpu=1)


def test_without_cuda_an_instance_of_kind_auto_runs_on_the_cpu_and_says_so(backend: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text("instance_group { kind: KIND_AUTO } a_field_of_a_later_triton: 1")
    model = load(backend, tmp_path, tiny_models.dense_double(), gpu=0)
    (warning,) = backend.pb_utils.warnings
    assert "tiny is of KIND_AUTO and runs on the CPU" in warning
    assert "triton-asr-kit[server-gpu]" in warning
    (answer,) = model.execute([request(["total"], x=[[1, 2]])])
    assert answer.outputs["total"].tolist() == [[3]]


def test_a_provider_that_does_not_load_is_refused(backend: ModuleType, tmp_path: Path, cuda: FakeCuda) -> None:
    cuda.works = False
    with pytest.raises(
        gpu.GpuError, match=r"GPU 0, but onnxruntime-gpu .* cannot use CUDA: .*libonnxruntime_providers_"
    ):
        load(backend, tmp_path, tiny_models.dense_double(), gpu=0)


def test_the_error_of_a_device_names_the_device_and_the_graph(
    backend: ModuleType, tmp_path: Path, cuda: FakeCuda
) -> None:
    cuda.error = "invalid device ordinal"
    with pytest.raises(gpu.GpuError, match=r"GPU 7 cannot run .*model.onnx: invalid device ordinal"):
        load(backend, tmp_path, tiny_models.dense_double(), gpu=7)


def test_two_packages_of_onnxruntime_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu.importlib.metadata, "version", lambda name: "1.31.1")
    with pytest.raises(gpu.NoCuda, match=r"onnxruntime-gpu alone: onnxruntime, .* has overwritten it"):
        gpu.open_session(Path("model.onnx"), onnxruntime.SessionOptions(), 0, {})


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, {}),
        ({"parameters": parameters(cudnn_conv_algo_search="0")}, {"cudnn_conv_algo_search": "EXHAUSTIVE"}),
        ({"parameters": parameters(arena_extend_strategy="1")}, {"arena_extend_strategy": "kSameAsRequested"}),
        ({"parameters": parameters(do_copy_in_default_stream="False")}, {"do_copy_in_default_stream": "0"}),
        ({"optimization": accelerators(gpu_mem_limit="5")}, {"gpu_mem_limit": "5"}),
        ({"optimization": {"cuda": {"graphs": False}, **accelerators()}}, {}),
    ],
)
def test_options_are_those_of_the_provider(config: dict[str, Any], options: dict[str, str]) -> None:
    onnx_cuda.check(config)
    assert onnx_cuda.options(config) == options


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (
            {"parameters": parameters(cudnn_conv_algo_search="HEURISTIC")},
            "is 'HEURISTIC'; valid: 0 (EXHAUSTIVE), 1 (HE",
        ),
        ({"parameters": parameters(do_copy_in_default_stream="2")}, "is '2'; valid: 0, 1, false (0), true (1)"),
        ({"parameters": parameters(gpu_mem_limit="-1")}, "gpu_mem_limit is '-1'; needs a number of bytes above 0"),
        ({"parameters": parameters(gpu_mem_limit="4 GB")}, "gpu_mem_limit is '4 GB'"),
        ({"optimization": accelerators("tensorrt")}, "gpu_execution_accelerator is tensorrt; the stand-in"),
        ({"optimization": accelerators("openvino", "cpu")}, "cpu_execution_accelerator is openvino; the stand-in"),
        ({"optimization": accelerators(device_id="1")}, "has device_id; the instance_group says which GPU"),
        ({"optimization": accelerators(enable_cuda_graph="1")}, "has enable_cuda_graph; recordings differ in length"),
        ({"optimization": {"cuda": {"graphs": True}}}, "optimization.cuda.graphs is true; recordings differ in length"),
    ],
)
def test_what_cannot_be_honoured_is_refused_on_a_cpu_too(
    backend: ModuleType, tmp_path: Path, config: dict[str, Any], error: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        load(backend, tmp_path, tiny_models.dense_double(), **config)
