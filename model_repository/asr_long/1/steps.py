"""The models behind, in Triton's terms: what to ask them, and what their answers hold. Asking is the caller's part."""

import json
from collections.abc import Collection, Mapping

import numpy as np
import triton_python_backend_utils as pb_utils
from heard import Heard
from labels import Labels

_HEARD = ["TRANSCRIPT", "CONFIDENCE", "WORDS"]


class StepError(RuntimeError):
    """A model behind has failed, or refuses what it was asked; which of both is lost on the way here."""


def settings(config: str, names: Collection[str]) -> dict[str, str]:
    """The parameters of a model's configuration, which must be these; Triton itself would ignore a misspelt key.

    Raises:
        TritonModelException: one is missing, or unknown.
    """
    found = {key: item["string_value"] for key, item in json.loads(config)["parameters"].items()}
    if found.keys() != set(names):
        raise pb_utils.TritonModelException(f"parameters are {sorted(found)}; needs {sorted(names)}")
    return found


def ask_acoustic(model: str, samples: np.ndarray) -> "pb_utils.InferenceRequest":
    """What are the log-probs of these samples, float32 `[samples]`?"""
    return _request(model, [("audio", samples[None])], ["log_probs", "frames"], {})


def log_probs_of(response: "pb_utils.InferenceResponse") -> np.ndarray:
    """Float32 `[frames, vocab]`."""
    log_probs, frames = _read(response, ["log_probs", "frames"])
    return log_probs[0, : int(frames[0, 0])]


def ask_decode(model: str, log_probs: np.ndarray, parameters: Mapping[str, object]) -> "pb_utils.InferenceRequest":
    """What do these log-probs say, float32 `[frames, vocab]`?"""
    frames = np.array([[len(log_probs)]], dtype=np.int32)
    return _request(model, [("log_probs", log_probs[None]), ("frames", frames)], _HEARD, parameters)


def heard_of(response: "pb_utils.InferenceResponse") -> Heard:
    """The decode step's answer."""
    text, confidence, words = (values.reshape(-1)[0] for values in _read(response, _HEARD))
    return Heard(text.decode(), float(confidence), json.loads(words))


def silence(labels: Labels) -> np.ndarray:
    """Log-probs of nothing: with them, the decode step looks at options before there is anything to decode."""
    log_probs = np.full((1, len(labels.labels)), -100.0, dtype=np.float32)
    log_probs[0, labels.blank] = 0
    return log_probs


def text_tensor(name: str, value: str) -> "pb_utils.Tensor":
    """One element of text, [1, 1]."""
    return pb_utils.Tensor(name, np.array([[value.encode()]], dtype=object))


def refusal(message: str) -> "pb_utils.InferenceResponse":
    """The caller's fault."""
    return _error("INVALID_ARGUMENT", message, pb_utils.TritonError.INVALID_ARG)


def unavailable(message: str) -> "pb_utils.InferenceResponse":
    """Not now."""
    return _error("UNAVAILABLE", message, pb_utils.TritonError.UNAVAILABLE)


def failure(message: str) -> "pb_utils.InferenceResponse":
    """Our fault."""
    return _error("INTERNAL", message, pb_utils.TritonError.INTERNAL)


def cancelled() -> "pb_utils.InferenceResponse":
    """Nobody waits for it."""
    return _error("CANCELLED", "the caller has gone", pb_utils.TritonError.CANCELLED)


def _error(status: str, message: str, code: int) -> "pb_utils.InferenceResponse":
    # In a stream Triton sends the text of an error alone: so its status is part of that.
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{status}: {message}", code))


def _request(model: str, inputs: list, outputs: list, parameters: Mapping[str, object]) -> "pb_utils.InferenceRequest":
    return pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=outputs,
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in inputs],
        # Triton takes no float from one model to another; the decode step reads text as well.
        parameters={key: str(value) if isinstance(value, float) else value for key, value in parameters.items()},
    )


def _read(response: "pb_utils.InferenceResponse", outputs: list) -> list[np.ndarray]:
    if response.has_error():
        raise StepError(response.error().message())
    return [pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs]
