"""Operations in terms of tritonclient.

Its four clients (gRPC and HTTP, sync and async) have the same methods, so that one table serves them all. Where they
differ: gRPC takes a deadline in seconds (`client_timeout`), HTTP leaves it to the caller. Both carry the request's own
`timeout`, in microseconds: Triton drops what waited longer in a queue, but only for a model whose config has
`default_queue_policy { allow_timeout_override: true }`, as those of this kit's model repository have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from asr_client._calls.protocol import (
    Answer,
    DescribeModel,
    Infer,
    ModelDescription,
    ModelReady,
    Operation,
    Piece,
    Said,
    ServerReady,
)
from asr_client._transports.base import Endpoint


@dataclass(frozen=True)
class Dialect:
    """In what the clients of a protocol differ from those of the other."""

    module: ModuleType  # tritonclient.grpc or tritonclient.http
    keeps_deadlines: bool  # takes `client_timeout`, in seconds
    metadata: Mapping[str, Any]  # arguments for a model's description as a dictionary


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
        """The method call that asks `operation`."""
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
            case _:
                raise TypeError(f"unknown operation {operation!r}")

    def answer(self, operation: Operation[Answer], result: Any) -> Answer:
        """The answer in the result of the call."""
        match operation:
            case Infer(outputs=names):
                return cast("Answer", {name: result.as_numpy(name) for name in names})
            case DescribeModel():
                return cast("Answer", ModelDescription(_tensors(result, "inputs"), _tensors(result, "outputs")))
            case _:
                return cast("Answer", bool(result))

    def piece(self, piece: Piece) -> dict[str, Any]:
        """The arguments of the request that asks a piece, in a stream."""
        return {
            "model_name": piece.model,
            "inputs": [self._audio_input(piece.audio)],
            "sequence_id": piece.sequence,
            "sequence_start": piece.is_first,
            "sequence_end": piece.is_last,
            "parameters": dict(piece.parameters),
        }

    def said(self, piece: Piece, result: Any) -> Said:
        """The answer in a result of the stream."""
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
            # All that the model has: to ask for a tensor that it lacks (LANGUAGE) would be an error.
            "outputs": None,
            "parameters": dict(request.parameters),
            "timeout": None if timeout_s is None else max(1, int(timeout_s * 1e6)),
        }


def _tensors(metadata: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {tensor["name"]: tensor["datatype"] for tensor in metadata.get(kind, [])}
