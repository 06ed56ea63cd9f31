"""Triton adapter for recordings of any length: pieces in, segments of the transcript out, by way of other models."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import audio
import container
import numpy as np
import request as request_parameters
import transcription
import triton_python_backend_utils as pb_utils
import uploads
from labels import Labels

SETTINGS = {
    "acoustic",  # the models behind
    "ctc_decode",
    "sampling_rate",
    "min_samples",
    "max_seconds",  # of a recording
    "max_bytes",
    "window_seconds",
    "recordings",  # that are transcribed at a time; others wait
    "max_queue",  # of those that wait
    "windows",  # of one recording that the acoustic model has at a time
}
STOPPING = os.environ.get("TRITON_ASR_STOPPING", "")  # as in the preprocess step
# In the words of Triton, which say the same of a queue of its own.
FULL = "Exceeds maximum queue size: the server has more long recordings than it can do"
START, END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


class StepError(RuntimeError):
    """A model behind has failed, or refuses what it was asked; which of both is lost on the way here."""


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each paragraph what config.pbtxt lists, each [1, 1].

    The last response to each piece, which Triton marks as final, is empty; the paragraphs come before that of the last.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration; Triton itself would ignore a misspelt key."""
        settings = {key: item["string_value"] for key, item in json.loads(args["model_config"])["parameters"].items()}
        if settings.keys() != SETTINGS:
            raise pb_utils.TritonModelException(f"parameters are {sorted(settings)}; needs {sorted(SETTINGS)}")
        self.settings = settings
        self.labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        rate, shortest = int(settings["sampling_rate"]), int(settings["min_samples"])
        self.limits = audio.Limits(rate, shortest, float(settings["max_seconds"]))
        self.uploads = uploads.Uploads(int(settings["max_bytes"]))
        recordings, windows = int(settings["recordings"]), int(settings["windows"])
        self.most = recordings + int(settings["max_queue"])
        self.recordings = ThreadPoolExecutor(recordings, thread_name_prefix="recording")
        self.windows = ThreadPoolExecutor(recordings * windows, thread_name_prefix="window")
        self.under_way: set[object] = set()

    def execute(self, requests: list) -> None:
        """Take each piece; with the last one of a recording, begin to transcribe it."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                file = self._take(request)
            except (uploads.UploadError, request_parameters.ParameterError) as refused:
                _finish(sender, _error(str(refused), pb_utils.TritonError.INVALID_ARG))
            except BlockingIOError as full:
                _finish(sender, _error(str(full), pb_utils.TritonError.UNAVAILABLE))
            else:
                if file is None:
                    _finish(sender)
                else:
                    parameters = request.parameters() or "{}"
                    self.under_way.add(sender)
                    self.recordings.submit(self._transcribe, file, parameters, sender, request.is_cancelled)

    def finalize(self) -> None:
        """Give up what is under way."""
        self.recordings.shutdown(cancel_futures=True)
        self.windows.shutdown(cancel_futures=True)
        self.uploads.close()

    def _take(self, request: "pb_utils.InferenceRequest") -> object:
        flags = request.flags()
        if flags & START:
            if STOPPING and Path(STOPPING).exists():
                raise BlockingIOError("the server is stopping")
            if len(self.uploads) + len(self.under_way) >= self.most:
                raise BlockingIOError(FULL)
            request_parameters.pcm_format(json.loads(request.parameters() or "{}"))
        elements = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy()
        return self.uploads.add(
            request.correlation_id(), elements[0, 0], is_first=bool(flags & START), is_last=bool(flags & END)
        )

    def _transcribe(self, file: object, parameters: str, sender: object, is_cancelled: Callable[[], bool]) -> None:
        error = None
        try:
            with file:
                pcm = request_parameters.pcm_format(json.loads(parameters))
                models = transcription.Models(
                    acoustic=self._acoustic,
                    decode=lambda log_probs: self._decode(log_probs, parameters),
                    executor=self.windows,
                    windows=int(self.settings["windows"]),
                )
                self._check_options(parameters)
                seconds = float(self.settings["window_seconds"])
                for segment in transcription.transcribe(file, pcm, self.limits, seconds, self.labels, models):
                    if is_cancelled():
                        break
                    sender.send(_response(segment))
        except (container.AudioError, request_parameters.ParameterError) as refused:
            error = _error(str(refused), pb_utils.TritonError.INVALID_ARG)
        except StepError as failed:
            error = _error(str(failed), pb_utils.TritonError.INTERNAL)
        except Exception as unforeseen:  # noqa: BLE001 - in a thread, it would be lost, and the caller would wait
            error = _error(repr(unforeseen), pb_utils.TritonError.INTERNAL)
        finally:
            self.under_way.discard(sender)
            _finish(sender, error)

    def _check_options(self, parameters: str) -> None:
        """Have the decode step look at them before an hour of work is done in vain."""
        if "nbest" in json.loads(parameters):
            raise request_parameters.ParameterError("nbest is for recordings that the model takes at once")
        silence = np.full((1, len(self.labels.labels)), -100.0, dtype=np.float32)
        silence[0, self.labels.blank] = 0
        try:
            self._decode(silence, parameters)
        except StepError as refused:
            raise request_parameters.ParameterError(str(refused)) from refused

    def _acoustic(self, samples: np.ndarray) -> np.ndarray:
        response = _ask(self.settings["acoustic"], [("audio", samples[None])], ["log_probs", "frames"], {})
        return response["log_probs"][0, : int(response["frames"][0, 0])]

    def _decode(self, log_probs: np.ndarray, parameters: str) -> transcription.Heard:
        frames = np.array([[len(log_probs)]], dtype=np.int32)
        outputs = ["TRANSCRIPT", "CONFIDENCE", "WORDS"]
        inputs = [("log_probs", log_probs[None]), ("frames", frames)]
        heard = _ask(self.settings["ctc_decode"], inputs, outputs, json.loads(parameters))
        text, confidence, words = (heard[name].reshape(-1)[0] for name in outputs)
        return transcription.Heard(text.decode(), float(confidence), json.loads(words))


def _ask(model: str, inputs: list, outputs: list, parameters: dict) -> dict[str, np.ndarray]:
    request = pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=outputs,
        inputs=[pb_utils.Tensor(name, np.ascontiguousarray(value)) for name, value in inputs],
        # Triton takes no float from one model to another; the decode step reads text as well.
        parameters={key: str(value) if isinstance(value, float) else value for key, value in parameters.items()},
    )
    response = request.exec()
    if response.has_error():
        raise StepError(response.error().message())
    return {name: pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs}


def _response(segment: transcription.Segment) -> "pb_utils.InferenceResponse":
    heard = segment.heard
    return pb_utils.InferenceResponse(
        [
            _text("TRANSCRIPT", heard.text),
            pb_utils.Tensor("CONFIDENCE", np.array([[heard.confidence]], dtype=np.float32)),
            pb_utils.Tensor("DURATION", np.array([[segment.seconds_done]], dtype=np.float32)),
            _text("WORDS", json.dumps(heard.words, ensure_ascii=False)),
        ]
    )


def _text(name: str, value: str) -> "pb_utils.Tensor":
    return pb_utils.Tensor(name, np.array([[value.encode()]], dtype=object))


def _error(message: str, code: int) -> "pb_utils.InferenceResponse":
    # In a stream Triton sends the text of an error alone: so its status is part of that.
    names = {pb_utils.TritonError.INVALID_ARG: "INVALID_ARGUMENT", pb_utils.TritonError.UNAVAILABLE: "UNAVAILABLE"}
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{names.get(code, 'INTERNAL')}: {message}", code))


def _finish(sender: object, response: "pb_utils.InferenceResponse | None" = None) -> None:
    # tritonclient's asyncio client cannot ask for a last response without tensors.
    response = response or _response(transcription.Segment(transcription.Heard("", 0.0, []), 0.0))
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
