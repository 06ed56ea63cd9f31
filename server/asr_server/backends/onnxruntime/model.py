"""A stand-in for Triton's ONNX Runtime backend, because the pip-installed Triton has none.

Triton loads it for every model with `backend: "onnxruntime"`; the model repository is the same for both. It runs in one
process per instance, on a CPU or a GPU. `onnx_batch.py` and `onnx_cuda.py` beside it decide which configurations it
accepts, and `onnx_device.py` where the session runs.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx_batch as batch  # type: ignore[import-not-found]  # Triton puts this folder on the path
import onnx_cuda  # type: ignore[import-not-found]
import onnx_device  # type: ignore[import-not-found]
import onnx_runs  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils  # exists only inside Triton

# A small model makes two runs of one divided batch at a time: most of its operators are too short to divide well
# between threads, and a thread that waits for another one which lost its core is idle, too
# (docs/decisions/0029-two-runs-at-a-time.md).
_RUNS_AT_ONCE = 2
_SMALL_BYTES = 64 * 2**20
# `optimization { graph { level } }` of the model configuration; Triton's default enables all optimisations.
_GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 0: "ORT_ENABLE_ALL", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and check the configuration against it."""
        import onnxruntime as ort  # not at the top: Triton imports this file twice, to look for auto_complete_config

        config = json.loads(args["model_config"])
        batch.check_fields(config)
        onnx_cuda.check(config)
        file = _model_file(args, config)
        self._gpu = onnx_device.gpu(args, pb_utils.Logger.log_warn)
        self._session = onnx_device.open_session(
            ort, file, _session_options(ort, config), self._gpu, onnx_cuda.options(config)
        )
        self._run_options = ort.RunOptions()
        if shrinkage := batch.parameter(config, "memory.enable_memory_arena_shrinkage"):
            self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", shrinkage)
        threads = batch.integer_parameter(config, "intra_op_thread_count", range(1024))
        is_small = sum(part.stat().st_size for part in file.parent.iterdir()) < _SMALL_BYTES
        self._runners = ThreadPoolExecutor(_RUNS_AT_ONCE if is_small and threads != 1 else 1, "run")
        self._plan = batch.plan(config, _graph(self._session.get_inputs()), _graph(self._session.get_outputs()))

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Answer each request as soon as its run is done; if a run fails, its error answers each of its requests."""
        runs = self._runs(requests)
        if len(runs) == 1:
            return self._answers(requests)
        for _ in self._runners.map(self._answer_by_sender, ([requests[index] for index in run] for run in runs)):
            pass  # this waits for each run, and raises its exception
        return None

    def finalize(self) -> None:
        """End the threads; Triton calls this before it ends the process."""
        self._runners.shutdown()

    def _runs(self, requests: list[Any]) -> list[list[int]]:
        """Return the runs: the indices of the requests that go into one call of the graph each."""
        if not self._plan.batching:
            return [[index] for index in range(len(requests))]
        if not self._plan.ragged or self._gpu is not None:  # a GPU computes padding beside the rest
            return [list(range(len(requests)))]
        ragged = self._plan.ragged
        sizes = [
            sum(tensor.as_numpy().size for tensor in request.inputs() if tensor.name() in ragged)
            for request in requests
        ]
        runs: list[list[int]] = onnx_runs.divide(sizes)
        return runs

    def _answer_by_sender(self, requests: list[Any]) -> None:
        for request, response in zip(requests, self._answers(requests), strict=True):
            request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _answers(self, requests: list[Any]) -> list[Any]:
        """Return the responses of one call of the graph, without the requests whose callers have gone."""
        gone = [request.is_cancelled() for request in requests]
        wanted = [request for request, is_gone in zip(requests, gone, strict=True) if not is_gone]
        try:
            answers = iter(self._run(wanted) if wanted else [])
        except Exception as error:  # noqa: BLE001  (whatever ONNX Runtime raises; Triton would drop the error's kind)
            answers = iter([_failure(error) for _ in wanted])
        return [_cancelled() if is_gone else next(answers) for is_gone in gone]

    def _run(self, requests: list[Any]) -> list[Any]:
        inputs = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        asked = [set(request.requested_output_names()) for request in requests]
        names = [name for name in self._plan.outputs if any(name in wanted for wanted in asked)]
        run = onnx_device.run_on_cpu if self._gpu is None else onnx_device.run_on_gpu
        arrays = run(self._session, names, batch.assemble(self._plan, inputs), self._run_options)
        outputs = dict(zip(names, arrays, strict=True))
        parts = batch.split(outputs, batch.row_counts(self._plan, inputs)) if self._plan.batching else [outputs]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, part[name]) for name in names if name in wanted])
            for part, wanted in zip(parts, asked, strict=True)
        ]


def _cancelled() -> Any:
    error = pb_utils.TritonError("CANCELLED: the caller has gone", pb_utils.TritonError.CANCELLED)
    return pb_utils.InferenceResponse(error=error)


def _failure(error: Exception) -> Any:
    # Each response has an error of its own: a shared one corrupts tritonserver's memory.
    failure = pb_utils.TritonError(f"onnx runtime error: {error}", pb_utils.TritonError.INTERNAL)
    return pb_utils.InferenceResponse(error=failure)


def _model_file(args: dict[str, str], config: batch.Config) -> Path:
    """Return the path of the graph; if the name is that of a folder, the graph is its model.onnx."""
    path = Path(args["model_repository"], args["model_version"], config.get("default_model_filename") or "model.onnx")
    path = path / "model.onnx" if path.is_dir() else path
    if not path.is_file():
        raise pb_utils.TritonModelException(
            f"there is no {path}; `triton-asr export` makes a repository with its graphs"
        )
    return path


def _session_options(ort: Any, config: batch.Config) -> Any:
    options = ort.SessionOptions()
    # Waiting threads would spin on the cores that the other steps, Triton and perhaps the callers need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # 0 leaves the choice to ONNX Runtime, in both backends.
    options.intra_op_num_threads = batch.integer_parameter(config, "intra_op_thread_count", range(1024))
    options.inter_op_num_threads = batch.integer_parameter(config, "inter_op_thread_count", range(1024))
    if batch.integer_parameter(config, "execution_mode", range(2)):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _GRAPH_LEVELS.get(level, "ORT_ENABLE_ALL"))
    if (arena := batch.bool_parameter(config, "enable_mem_arena")) is not None:
        options.enable_cpu_mem_arena = arena
    if (pattern := batch.bool_parameter(config, "enable_mem_pattern")) is not None:
        options.enable_mem_pattern = pattern
    if initializers := batch.parameter(config, key := "session.use_device_allocator_for_initializers"):
        options.add_session_config_entry(key, initializers)
    return options


def _graph(tensors: Sequence[Any]) -> dict[str, batch.GraphTensor]:
    """Describe inputs or outputs of ONNX Runtime, which writes dynamic dimensions as names or None."""
    return {
        tensor.name: batch.GraphTensor(
            tensor.type, tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
        )
        for tensor in tensors
    }
