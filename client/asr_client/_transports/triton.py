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

from asr_client._protocol import Answer, DescribeModel, Infer, ModelDescription, ModelReady, Operation, ServerReady
from asr_client._transports.base import Endpoint


@dataclass(frozen=True)
class Call:
    """One method call of a tritonclient client."""

    method: str
    arguments: dict[str, Any]


class Calls:
    """Turns operations into calls, and their results into answers."""

    def __init__(self, module: ModuleType, endpoint: Endpoint) -> None:
        self._module = module  # tritonclient.grpc or tritonclient.http
        self._is_grpc = endpoint.protocol == "grpc"
        # gRPC refuses header names with capitals; HTTP does not care.
        self._headers = {name.lower(): value for name, value in endpoint.headers.items()}

    def call(self, operation: Operation[Any], timeout_s: float | None) -> Call:
        """The method call that asks `operation`."""
        common: dict[str, Any] = {"headers": self._headers or None}
        if self._is_grpc:
            common["client_timeout"] = timeout_s
        match operation:
            case Infer():
                return Call("infer", {**common, **self._infer_arguments(operation, timeout_s)})
            case ServerReady():
                return Call("is_server_ready", common)
            case ModelReady(model, version):
                return Call("is_model_ready", {**common, "model_name": model, "model_version": version})
            case DescribeModel(model, version):
                as_json = {"as_json": True} if self._is_grpc else {}
                arguments = {**common, **as_json, "model_name": model, "model_version": version}
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

    def _infer_arguments(self, request: Infer, timeout_s: float | None) -> dict[str, Any]:
        import numpy as np

        audio = self._module.InferInput("AUDIO", [1, 1], "BYTES")
        element = np.empty((1, 1), dtype=np.object_)  # np.array([[b"…"]]) would drop trailing zero bytes
        element[0, 0] = request.audio
        audio.set_data_from_numpy(element)
        return {
            "model_name": request.model,
            "model_version": request.version,
            "inputs": [audio],
            # All that the model has: to ask for a tensor that it lacks (LANGUAGE) would be an error.
            "outputs": None,
            "parameters": dict(request.parameters),
            "timeout": None if timeout_s is None else max(1, int(timeout_s * 1e6)),
        }


def _tensors(metadata: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {tensor["name"]: tensor["datatype"] for tensor in metadata.get(kind, [])}
