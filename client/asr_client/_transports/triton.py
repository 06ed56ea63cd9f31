"""Turns operations into calls of tritonclient.

Its four clients (gRPC and HTTP, sync and async) have the same methods, so one table serves them all. They differ in the
deadline: gRPC takes it in seconds (`client_timeout`), HTTP leaves it to the caller. Both send the request's own
`timeout`, in microseconds. Triton drops a request that waited longer in a queue, but only for a model whose config has
`default_queue_policy { allow_timeout_override: true }`, as the models of this kit have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from asr_client._calls.protocol import (
    Answer,
    DescribeModel,
    DescribeSettings,
    Infer,
    ListModels,
    ModelDescription,
    ModelReady,
    ModelSettings,
    Operation,
    Piece,
    Said,
    ServerReady,
)
from asr_client._transports.base import Endpoint


@dataclass(frozen=True)
class Dialect:
    """The differences between the clients of the two protocols."""

    module: ModuleType  # tritonclient.grpc or tritonclient.http
    keeps_deadlines: bool  # takes `client_timeout`, in seconds
    metadata: Mapping[str, Any]  # arguments that give descriptions and lists of models as plain objects


@dataclass(frozen=True)
class Call:
    """One method call of a tritonclient client."""

    method: str
    arguments: dict[str, Any]


class Calls:
    """Turns operations into calls, and their results into answers."""

    def __init__(self, dialect: Dialect, endpoint: Endpoint) -> None:
        self._dialect = dialect
        # gRPC refuses header names with capitals; HTTP does not care.
        self.headers = {name.lower(): value for name, value in endpoint.headers.items()} or None

    def call(self, operation: Operation[Any], timeout_s: float | None) -> Call:
        """Return the method call for an operation."""
        common: dict[str, Any] = {"headers": self.headers}
        if self._dialect.keeps_deadlines:
            common["client_timeout"] = timeout_s
        match operation:
            case Infer():
                return Call("infer", {**common, **self._infer_arguments(operation, timeout_s)})
            case ServerReady():
                return Call("is_server_ready", common)
            case ModelReady(model, version):
                return Call("is_model_ready", {**common, "model_name": model, "model_version": version})
            case DescribeModel(model, version):
                arguments = {**common, **self._dialect.metadata, "model_name": model, "model_version": version}
                return Call("get_model_metadata", arguments)
            case DescribeSettings(model, version):
                arguments = {**common, **self._dialect.metadata, "model_name": model, "model_version": version}
                return Call("get_model_config", arguments)
            case ListModels():
                return Call("get_model_repository_index", {**common, **self._dialect.metadata})
            case _:
                raise TypeError(f"unknown operation {operation!r}")

    def answer(self, operation: Operation[Answer], result: Any) -> Answer:
        """Return the answer in the result of the call."""
        match operation:
            case Infer(outputs=names):
                return cast("Answer", {name: result.as_numpy(name) for name in names})
            case DescribeModel():
                return cast("Answer", ModelDescription(_tensors(result, "inputs"), _tensors(result, "outputs")))
            case DescribeSettings():
                return cast("Answer", _settings(result))
            case ListModels():
                return cast("Answer", _ready(result))
            case _:
                return cast("Answer", bool(result))

    def piece(self, piece: Piece) -> dict[str, Any]:
        """Return the arguments of the request that sends a piece in a stream."""
        return {
            "model_name": piece.model,
            "inputs": [self._audio_input(piece.audio)],
            "sequence_id": piece.sequence,
            "sequence_start": piece.is_first,
            "sequence_end": piece.is_last,
            "parameters": dict(piece.parameters),
        }

    def said(self, piece: Piece, result: Any) -> Said:
        """Return the answer in a result of the stream."""
        is_final = result.get_response().parameters["triton_final_response"].bool_param
        return Said({name: result.as_numpy(name) for name in piece.outputs}, is_final)

    def _audio_input(self, data: bytes) -> Any:
        import numpy as np

        audio = self._dialect.module.InferInput("AUDIO", [1, 1], "BYTES")
        element = np.empty((1, 1), dtype=np.object_)  # np.array([[b"…"]]) would drop trailing zero bytes
        element[0, 0] = data
        audio.set_data_from_numpy(element)
        return audio

    def _infer_arguments(self, request: Infer, timeout_s: float | None) -> dict[str, Any]:
        return {
            "model_name": request.model,
            "model_version": request.version,
            "inputs": [self._audio_input(request.audio)],
            # All outputs of the model: a request for an output that it lacks (LANGUAGE) would be an error.
            "outputs": None,
            "parameters": dict(request.parameters),
            "timeout": None if timeout_s is None else max(1, int(timeout_s * 1e6)),
        }


def _ready(index: Mapping[str, Any] | list[dict[str, str]]) -> tuple[str, ...]:
    """Return the names in Triton's index: of gRPC an object with the list, of HTTP the list itself."""
    models = index.get("models", []) if isinstance(index, Mapping) else index
    return tuple(sorted({model["name"] for model in models if model.get("state") == "READY"}))


def _settings(result: Mapping[str, Any]) -> ModelSettings:
    """Return the settings in a configuration: of gRPC it is within another object."""
    config = result.get("config", result)
    parameters = {name: value.get("string_value", "") for name, value in config.get("parameters", {}).items()}
    steps = config.get("ensemble_scheduling", {}).get("step", [])
    return ModelSettings(parameters, tuple(step["model_name"] for step in steps))


def _tensors(metadata: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {tensor["name"]: tensor["datatype"] for tensor in metadata.get(kind, [])}
