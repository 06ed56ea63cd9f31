"""Output to Triton: tensors, or an error with its code. An error of one request does not affect the others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import triton_python_backend_utils as pb_utils
from asr_contract import errors, tensors
from asr_contract.errors import Cancelled
from numpy.typing import NDArray

Outputs = Mapping[str, "str | float | NDArray[Any]"]
Task = TypeVar("Task")
Result = TypeVar("Result")

_DTYPES = {"FP32": np.float32, "INT32": np.int32}
_TYPES = {output.name: output.datatype for output in (*tensors.OUTPUTS, *tensors.STREAM_OUTPUTS)}
# Our statuses have gRPC's names. They are looked up by name, because Triton has no TritonError yet when it imports a
# model to look for an auto_complete_config.
_CODES = {"INVALID_ARGUMENT": "INVALID_ARG"}


def response(outputs: Outputs) -> Any:
    """Return a response with these tensors: arrays as they are; a text or number as one element, [1, 1]."""
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, _values(name, value)) for name, value in outputs.items()])


def error(failed: Exception) -> Any:
    """Return the response for a request that failed with this exception.

    Each response gets an error of its own, because a shared one corrupts tritonserver's memory.
    """
    code, text = errors.encode(failed)
    status = getattr(pb_utils.TritonError, _CODES.get(code.status, code.status))
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, status))


def send(sender: Any, answer: Any, is_final: bool = True) -> None:
    """Send a response to a request; `is_final` marks the last or only one."""
    sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if is_final else 0)


def answer_batch(
    requests: Sequence[Any],
    unpack: Callable[[Any], Task],
    run: Callable[[list[Task]], Sequence[Result | Exception]],
    pack: Callable[[Task, Result], Outputs],
) -> list[Any]:
    """Return a response for each request of a batch; run all that can be unpacked at once.

    Args:
        requests: of the batch.
        unpack: makes a task of a request; its exception becomes the answer to this request.
        run: returns a result, or an exception, for each task.
        pack: makes tensors of a task and its result; its exception becomes the answer to this request.
    """
    responses: list[Any] = [None] * len(requests)
    accepted: list[tuple[int, Task]] = []
    for index, request in enumerate(requests):
        try:
            refuse_cancelled(request)
            accepted.append((index, unpack(request)))
        except Exception as refused:  # noqa: BLE001 - raised from `execute`, it would fail the whole batch
            responses[index] = error(refused)
    for (index, task), result in zip(accepted, _run(run, [task for _, task in accepted]), strict=True):
        try:
            responses[index] = error(result) if isinstance(result, Exception) else response(pack(task, result))
        except Exception as failed:  # noqa: BLE001 - as above
            responses[index] = error(failed)
    return responses


def refuse_cancelled(request: Any) -> None:
    """Raise an error if the caller has gone.

    Triton tells a step of an ensemble only about callers who went before the step's turn (docs/triton-24.10.md).

    Raises:
        Cancelled: the caller has gone.
    """
    if request.is_cancelled():
        raise Cancelled("the caller has gone")


def _run(run: Callable[[list[Task]], Sequence[Result | Exception]], tasks: list[Task]) -> Sequence[Result | Exception]:
    try:
        return run(tasks) if tasks else []
    except Exception as failed:  # noqa: BLE001 - refused requests have their own answers
        return [failed] * len(tasks)


def _values(name: str, value: "str | float | NDArray[Any]") -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str):
        return np.array([[value.encode()]], dtype=object)
    return np.array([[value]], dtype=_DTYPES[_TYPES[name]])
