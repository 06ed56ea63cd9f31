"""Calls from one model to another: the requests, and the content of the responses."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from asr_contract import errors, tensors
from numpy.typing import NDArray

from asr_serving.ctc.heard import Heard
from asr_serving.whisper import wire
from asr_serving.whisper.tasks import Prepared, Task, Written

_HEARD = [tensors.TRANSCRIPT, tensors.CONFIDENCE, tensors.WORDS]


class Acoustic:
    """The acoustic model with this name."""

    def __init__(self, model: str) -> None:
        self._model = model

    def ask(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-probs, float32 `[frames, vocab]`, of samples, float32 `[samples]`.

        Raises:
            ServiceError: the model failed or refused.
        """
        return _log_probs(self._request(samples).exec())

    async def ask_async(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `ask`."""
        return _log_probs(await self._request(samples).async_exec())

    def _request(self, samples: NDArray[np.float32]) -> Any:
        return _request(self._model, {"audio": samples[None]}, ["log_probs", "frames"], {})


class Decode:
    """The decode step with this name."""

    def __init__(self, model: str) -> None:
        self._model = model

    def ask(self, log_probs: NDArray[np.float32], parameters: Mapping[str, object]) -> Heard:
        """Decode log-probs, float32 `[frames, vocab]`, with the parameters of a request.

        Raises:
            ServiceError: the model failed or refused.
        """
        return _heard(self._request(log_probs, parameters).exec())

    async def ask_async(self, log_probs: NDArray[np.float32], parameters: Mapping[str, object]) -> Heard:
        """See `ask`."""
        return _heard(await self._request(log_probs, parameters).async_exec())

    def _request(self, log_probs: NDArray[np.float32], parameters: Mapping[str, object]) -> Any:
        frames = np.array([[len(log_probs)]], dtype=np.int32)
        return _request(self._model, {"log_probs": log_probs[None], "frames": frames}, _HEARD, parameters)


class Preprocess:
    """The preprocess step with this name."""

    def __init__(self, model: str) -> None:
        self._model = model

    def ask(self, audio: bytes, parameters: Mapping[str, object]) -> Prepared:
        """Return what the step makes of a recording.

        Raises:
            ServiceError: the recording cannot be used, or the step refuses it.
        """
        data = np.array([[audio]], dtype=object)
        names = ["audio", "duration", "speech"]
        response = _request(self._model, {tensors.AUDIO: data}, names, parameters).exec()
        samples, duration, speech = _read(response, names)
        spans = [(int(start), int(end)) for start, end in speech.reshape(-1, 2)]
        return Prepared(samples[0], float(duration[0, 0]), spans)


class Whisper:
    """The model with this name that runs the graphs of a Whisper."""

    def __init__(self, model: str) -> None:
        self._model = model

    def ask(self, task: Task) -> Written:
        """Return what is written for a window.

        Raises:
            ServiceError: the model failed or refused.
        """
        return _written(self._request(task).exec())

    async def ask_async(self, task: Task) -> Written:
        """See `ask`."""
        return _written(await self._request(task).async_exec())

    def _request(self, task: Task) -> Any:
        return _request(self._model, wire.task_inputs(task), [wire.WRITTEN, wire.ALIGNMENT], {})


def _request(
    model: str, inputs: Mapping[str, NDArray[Any]], outputs: list[str], parameters: Mapping[str, object]
) -> Any:
    return pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=outputs,
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in inputs.items()],
        # Triton carries no float from one model to another; the decode step also reads numbers as text.
        parameters={key: str(value) if isinstance(value, float) else value for key, value in parameters.items()},
    )


def _written(response: Any) -> Written:
    names = [wire.WRITTEN, wire.ALIGNMENT]
    return wire.read_written(dict(zip(names, _read(response, names), strict=True)))


def _log_probs(response: Any) -> NDArray[np.float32]:
    log_probs, frames = _read(response, ["log_probs", "frames"])
    return log_probs[0, : int(frames[0, 0])]


def _heard(response: Any) -> Heard:
    text, confidence, words = (values.reshape(-1)[0] for values in _read(response, _HEARD))
    return Heard(text.decode(), float(confidence), json.loads(words))


def _read(response: Any, outputs: list[str]) -> list[NDArray[Any]]:
    if response.has_error():
        raise errors.raised(response.error().message())
    return [pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs]
