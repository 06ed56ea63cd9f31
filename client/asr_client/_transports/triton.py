"""Operations in terms of tritonclient.

Its four clients (gRPC and HTTP, sync and async) have the same methods, so that one table serves them all. Where they
differ: gRPC takes a deadline in seconds (`client_timeout`), HTTP leaves it to the caller. Both carry the request's own
`timeout`, in microseconds: Triton drops what waited longer in a queue, but only for a model whose config has
`default_queue_policy { allow_timeout_override: true }`, as those of this kit's model repository have.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from asr_client._audio import MESSAGE_OVERHEAD_BYTES
from asr_client._live import Live, Piece
from asr_client._protocol import (
    Answer,
    DescribeModel,
    Infer,
    InferLong,
    ModelDescription,
    ModelReady,
    Operation,
    ServerReady,
    Tensors,
)
from asr_client._transports.base import Endpoint

PIECE_BYTES = 2**20
DISCARD = "discard"  # request parameter with the end of a sequence: forget all of it


@dataclass(frozen=True)
class Call:
    """One method call of a tritonclient client."""

    method: str
    arguments: dict[str, Any]


class Calls:
    """Turns operations into calls, and their results into answers."""

    def __init__(self, module: ModuleType, endpoint: Endpoint) -> None:
        self._module = module  # tritonclient.grpc or tritonclient.http
        self._max_bytes = endpoint.max_message_bytes
        self._is_grpc = endpoint.protocol == "grpc"
        # gRPC refuses header names with capitals; HTTP does not care.
        self.headers = {name.lower(): value for name, value in endpoint.headers.items()} or None

    def call(self, operation: Operation[Any], timeout_s: float | None) -> Call:
        """The method call that asks `operation`."""
        common: dict[str, Any] = {"headers": self.headers}
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

    def upload(self, operation: InferLong) -> "Upload":
        """The requests of a long recording."""
        return Upload(operation, self._audio_input, min(PIECE_BYTES, self._max_bytes - MESSAGE_OVERHEAD_BYTES))

    def piece(self, live: Live, piece: Piece) -> dict[str, Any]:
        """The request that holds a piece of a live stream."""
        return {
            "model_name": live.model,
            "inputs": [self._audio_input(piece.data)],
            "sequence_id": live.sequence,
            "sequence_start": piece.is_first,
            "sequence_end": piece.is_last,
            "parameters": live.parameters,
        }

    def discard(self, last: Mapping[str, Any]) -> dict[str, Any]:
        """The request that has the server forget the sequence of the last one."""
        return {
            "model_name": last["model_name"],
            "inputs": [self._audio_input(b"")],
            "sequence_id": last["sequence_id"],
            "sequence_start": False,
            "sequence_end": True,
            "parameters": {DISCARD: True},
        }

    def _audio_input(self, data: bytes) -> Any:
        import numpy as np

        audio = self._module.InferInput("AUDIO", [1, 1], "BYTES")
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


class Upload:
    """A long recording as the requests of one stream: a sequence of pieces, each sent when the one before is taken."""

    def __init__(self, operation: InferLong, audio_input: Callable[[bytes], Any], piece_bytes: int) -> None:
        self._operation = operation
        self._piece_bytes = piece_bytes
        self._audio_input = audio_input
        self._sequence = secrets.randbelow(2**63 - 1) + 1  # 0 means none
        self.answers: list[Tensors] = []

    def requests(self) -> Iterator[dict[str, Any]]:
        """The arguments of each request; blocks while it reads."""
        with self._operation.pieces.open() as file:
            piece, is_first = file.read(self._piece_bytes), True
            while is_first or piece:
                following = file.read(self._piece_bytes)
                yield {
                    "model_name": self._operation.model,
                    "model_version": self._operation.version,
                    "inputs": [self._audio_input(piece)],
                    "sequence_id": self._sequence,
                    "sequence_start": is_first,
                    "sequence_end": not following,
                    "parameters": dict(self._operation.parameters),
                }
                piece, is_first = following, False

    def take(self, result: Any) -> bool:
        """Note what the server says; whether that was its last word on the request."""
        # The last one says nothing but that it is the last: every request has one, the pieces too.
        if is_final(result):
            return True
        tensors = {name: result.as_numpy(name) for name in self._operation.outputs}
        self.answers.append(tensors)
        self._operation.on_answer(tensors)
        return False


def is_final(result: Any) -> bool:
    """Whether a result of a stream is the last one for its request."""
    return bool(result.get_response().parameters["triton_final_response"].bool_param)


def _tensors(metadata: Mapping[str, Any], kind: str) -> dict[str, str]:
    return {tensor["name"]: tensor["datatype"] for tensor in metadata.get(kind, [])}
