"""Just enough of `triton_python_backend_utils` to run a `model.py` on a chosen batch, which the real server composes by
itself."""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

LOG: list[str] = []
ROOT = Path(__file__).parents[3] / "model_repository"


class TritonError(Exception):
    INVALID_ARG = 1
    INTERNAL = 2
    UNAVAILABLE = 3
    CANCELLED = 4

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class TritonModelException(Exception):
    pass


class Tensor:
    def __init__(self, name: str, values: np.ndarray) -> None:
        self.name, self.values = name, values

    def as_numpy(self) -> np.ndarray:
        return self.values


class InferenceResponse:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self.outputs = {tensor.name: tensor.values for tensor in output_tensors or []}
        self.error = error


class InferenceRequest:
    """A request as a model gets it."""

    def __init__(self, inputs: dict[str, np.ndarray], key: object = 0, flags: int = 0, **parameters: object) -> None:
        self.inputs, self._parameters = inputs, json.dumps(parameters)
        self._key, self._flags = key, flags
        self.cancelled = False
        self.timeout_us = 0
        self.sent: list[tuple[InferenceResponse, object]] = []
        self.wanted = ["audio", "duration"]
        self.is_gone = False

    def parameters(self) -> str:
        return self._parameters

    def requested_output_names(self) -> list[str]:
        return self.wanted

    def correlation_id(self) -> object:
        return self._key

    def flags(self) -> int:
        return self._flags

    def is_cancelled(self) -> bool:
        return self.cancelled

    def timeout(self) -> int:
        return self.timeout_us

    def get_response_sender(self) -> SimpleNamespace:
        return SimpleNamespace(send=lambda response, flags: self.sent.append((response, flags)))


class Asked:
    """A request that a model sends to another one: answered by the function of that name in `MODELS`."""

    def __init__(
        self,
        model_name: str,
        requested_output_names: list[str],
        inputs: list[Tensor],
        parameters: dict[str, object],
    ) -> None:
        self._model, self._outputs = model_name, requested_output_names
        self._inputs, self._parameters = {tensor.name: tensor.values for tensor in inputs}, parameters

    def exec(self) -> "Answer":
        try:
            outputs = MODELS[self._model](self._inputs, self._parameters)
        except TritonError as error:
            return Answer({}, error)
        return Answer({name: outputs[name] for name in self._outputs}, None)

    async def async_exec(self) -> "Answer":
        return self.exec()


class Answer:
    def __init__(self, outputs: dict[str, np.ndarray], error: TritonError | None) -> None:
        self.outputs, self._error = outputs, error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> SimpleNamespace:
        return SimpleNamespace(message=lambda: str(self._error))


# What a model's requests to other models find: inputs and parameters -> outputs, or a TritonError is raised.
MODELS: dict[str, Callable[[dict[str, np.ndarray], dict[str, object]], dict[str, np.ndarray]]] = {}


def answers(model: Any, requests: list[Any]) -> list[Any]:
    """What each request got, in whichever way it was answered; each once."""
    returned = model.execute(requests)
    if returned is not None:
        assert not any(request.sent for request in requests)
        return list(returned)
    assert [[flags for _, flags in request.sent] for request in requests] == [["final"]] * len(requests)
    return [request.sent[0][0] for request in requests]


def eventually(model: Any, requests: list[Any]) -> list[Any]:
    """What each request got of a model that answers later, from another thread; each once."""
    assert model.execute(requests) is None
    deadline = time.monotonic() + 60
    while not all(request.sent for request in requests):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert [[flags for _, flags in request.sent] for request in requests] == [["final"]] * len(requests)
    return [request.sent[0][0] for request in requests]


def load(model: str, folder: Path, parameters: dict[str, str] | None = None, gpu: int | None = None) -> Any:
    """An initialised `TritonPythonModel` of the checked-in `model`, whose files besides code lie in `folder`."""
    utils = ModuleType("triton_python_backend_utils")
    for thing in (TritonError, TritonModelException, Tensor, InferenceResponse):
        setattr(utils, thing.__name__, thing)
    utils.InferenceRequest = Asked  # type: ignore[attr-defined]
    utils.get_output_tensor_by_name = lambda answer, name: Tensor(name, answer.outputs[name])  # type: ignore[attr-defined]
    utils.get_input_tensor_by_name = lambda request, name: (  # type: ignore[attr-defined]
        Tensor(name, request.inputs[name]) if name in request.inputs else None
    )
    utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL = "final"  # type: ignore[attr-defined]
    utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START = 1  # type: ignore[attr-defined]
    utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END = 2  # type: ignore[attr-defined]
    utils.Logger = SimpleNamespace(log_warn=LOG.append)  # type: ignore[attr-defined]
    sys.modules["triton_python_backend_utils"] = utils
    try:
        spec = importlib.util.spec_from_file_location(f"{model}_model", ROOT / model / "1" / "model.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        del sys.modules["triton_python_backend_utils"]
    loaded = module.TritonPythonModel()
    settings = {key: {"string_value": value} for key, value in (parameters or {}).items()}
    loaded.initialize(
        {
            "model_config": json.dumps({"parameters": settings, "max_batch_size": 16}),
            "model_repository": str(folder),
            "model_version": "1",
            "model_instance_kind": "CPU" if gpu is None else "GPU",
            "model_instance_device_id": str(gpu or 0),
        }
    )
    return loaded
