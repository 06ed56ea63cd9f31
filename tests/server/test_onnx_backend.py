"""The stand-in backend with the real ONNX Runtime and a fake Triton around it."""

import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
from fake_backend_host import RAGGED, FakeError, arguments, load, request
from fake_triton import answers


def test_each_request_gets_its_rows_of_the_outputs_it_asked_for(backend: ModuleType, tmp_path: Path) -> None:
    model = load(backend, tmp_path, tiny_models.dense_double())
    one, two = model.execute([request(["y", "total"], x=[[1, 2]]), request(["total"], x=[[3, 4], [5, 6]])])
    assert {name: array.tolist() for name, array in one.outputs.items()} == {"y": [[2, 4]], "total": [[3]]}
    assert {name: array.tolist() for name, array in two.outputs.items()} == {"total": [[7], [11]]}


def test_without_batching_each_request_runs_alone(backend: ModuleType, tmp_path: Path) -> None:
    shapes = {
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [1, 2]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [1, 2]}],
    }
    model = load(backend, tmp_path, tiny_models.dense_double(batch=1), max_batch_size=0, **shapes)
    got = answers(model, [request(["y"], x=[[1, 2]]), request(["y"], x=[[3, 4]])])
    assert [answer.outputs["y"].tolist() for answer in got] == [[[2, 4]], [[6, 8]]]


def test_a_failing_run_is_an_error_for_every_request_of_the_batch(backend: ModuleType, tmp_path: Path) -> None:
    model = load(backend, tmp_path, tiny_models.dense_double())
    got = answers(model, [request(["y"], x=[[1, 2, 3]]), request(["y"], x=[[1, 2, 3]])])
    assert all("onnx runtime error: " in str(answer.error) for answer in got)
    assert len(got) == 2
    assert got[0].error is not got[1].error  # Triton 24.10 crashes on an error that responses share


def test_a_caller_who_has_gone_has_no_part_in_the_run(backend: ModuleType, tmp_path: Path) -> None:
    model = load(backend, tmp_path, tiny_models.dense_double())
    got = answers(
        model,
        [
            request(["total"], x=[[1, 2]]),
            request(["total"], is_gone=True, x=[[1, 2, 3]]),  # would fail the run
            request(["total"], x=[[5, 6]]),
        ],
    )
    assert [answer.outputs.get("total", np.array(None)).tolist() for answer in got] == [[[3]], None, [[11]]]
    assert [answer.error and answer.error.code for answer in got] == [None, FakeError.CANCELLED, None]


def test_where_all_callers_have_gone_nothing_runs(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(backend, tmp_path, tiny_models.dense_double())
    monkeypatch.setattr(model, "_session", None)
    one, two = answers(model, [request(["y"], is_gone=True, x=[[1, 2]]) for _ in range(2)])
    assert [one.error.code, two.error.code] == [FakeError.CANCELLED] * 2
    assert one.error is not two.error  # Triton 24.10 crashes on an error that responses share


def test_a_ragged_batch_of_long_items_runs_one_by_one_and_answers_as_it_goes(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_thread = {"intra_op_thread_count": {"string_value": "1"}}
    model = load(backend, tmp_path, tiny_models.ragged_sums(), **RAGGED, parameters=one_thread)
    requests = [request(["frames"], audio=np.ones((1, length))) for length in (40_000, 100, 50_000, 100)]
    done: list[list[bool]] = []
    run = model._session.run
    monkeypatch.setattr(
        model,
        "_session",
        SimpleNamespace(
            run=lambda *arguments: done.append([bool(request.sent) for request in requests]) or run(*arguments)
        ),
    )
    assert [answer.outputs["frames"].tolist() for answer in answers(model, requests)] == [
        [[40_000]],
        [[100]],
        [[50_000]],
        [[100]],
    ]
    # The first alone, then the two short ones together, then the third.
    assert done == [[False] * 4, [True, False, False, False], [True, True, False, True]]


@pytest.mark.parametrize(("small_bytes", "at_once"), [(2**26, 2), (1, 1)])
def test_of_a_small_model_two_runs_are_under_way_at_a_time(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bytes: int, at_once: int
) -> None:
    monkeypatch.setattr(backend, "_SMALL_BYTES", small_bytes)
    model = load(backend, tmp_path, tiny_models.ragged_sums(), **RAGGED)
    meeting = threading.Barrier(at_once)
    run = model._session.run
    monkeypatch.setattr(
        model, "_session", SimpleNamespace(run=lambda *arguments: meeting.wait(timeout=10) is None or run(*arguments))
    )
    lengths = [40_000, 50_000, 60_000, 70_000]
    requests = [request(["frames"], audio=np.ones((1, length))) for length in lengths]
    assert [answer.outputs["frames"].tolist() for answer in answers(model, requests)] == [[[one]] for one in lengths]
    if at_once == 1:
        assert model._runners._max_workers == 1


def test_a_failing_run_is_no_error_for_the_other_runs_of_the_batch(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(backend, tmp_path, tiny_models.ragged_sums(), **RAGGED)
    run = model._session.run

    def fail_once(names: list[str], feed: dict[str, Any], options: Any) -> Any:
        if len(feed["audio"]) == 40_000:
            raise RuntimeError("out of memory")
        return run(names, feed, options)

    monkeypatch.setattr(model, "_session", SimpleNamespace(run=fail_once))
    bad, good = answers(model, [request(["frames"], audio=np.ones((1, length))) for length in (40_000, 50_000)])
    assert "out of memory" in str(bad.error)
    assert good.outputs["frames"].tolist() == [[50_000]]


def test_session_parameters_and_the_file_name_are_honoured(
    backend: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    seen: list[Any] = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, options, **rest: seen.append(options) or session(path, options, **rest),
    )
    keys = {"intra_op_thread_count": "1", "inter_op_thread_count": "2", "execution_mode": "1", "enable_mem_arena": "0"}
    keys |= {"enable_mem_pattern": "false", "memory.enable_memory_arena_shrinkage": "cpu:0"}
    keys |= {"session.use_device_allocator_for_initializers": "1", "gpu_mem_limit": "1"}
    load(
        backend,
        tmp_path,
        tiny_models.dense_double(),
        default_model_filename="other.onnx",
        parameters={key: {"string_value": value} for key, value in keys.items()},
        optimization={"graph": {"level": -1}},
    )
    (options,) = seen
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 2)
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)


def test_a_missing_graph_names_the_command_that_makes_it(backend: ModuleType, tmp_path: Path) -> None:
    config = {"input": [{"name": "x"}], "output": [{"name": "y"}]}
    with pytest.raises(FakeError, match=r"there is no .*/1/model.onnx; `triton-asr export`"):
        backend.TritonPythonModel().initialize(arguments(tmp_path, config))
