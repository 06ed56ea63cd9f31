"""Triton adapter for recordings of any length: pieces in, segments of the transcript out, by way of other models."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import audio
import container
import heard
import numpy as np
import request as request_parameters
import steps
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
    "windows",  # of all recordings that the acoustic model has at a time: the rest of its queue is for others
}
STOPPING = os.environ.get("TRITON_ASR_STOPPING", "")  # as in the preprocess step
# In the words of Triton, which say the same of a queue of its own.
FULL = "Exceeds maximum queue size: the server has more long recordings than it can do"
START, END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START, pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


class TritonPythonModel:
    """A sequence of AUDIO pieces, each BYTES [1, 1] -> for each paragraph what config.pbtxt lists, each [1, 1].

    The last response to each piece, which Triton marks as final, is empty; the paragraphs come before that of the last.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the settings from the model's configuration."""
        self.settings = settings = steps.settings(args["model_config"], SETTINGS)
        self.labels = Labels.load(Path(args["model_repository"]) / "labels.json")
        rate, shortest = int(settings["sampling_rate"]), int(settings["min_samples"])
        self.limits = audio.Limits(rate, shortest, float(settings["max_seconds"]))
        self.uploads = uploads.Uploads(int(settings["max_bytes"]))
        recordings, windows = int(settings["recordings"]), int(settings["windows"])
        self.most = recordings + int(settings["max_queue"])
        self.recordings = ThreadPoolExecutor(recordings, thread_name_prefix="recording")
        self.windows = ThreadPoolExecutor(windows, thread_name_prefix="window")
        self.under_way: set[object] = set()
        self.is_closing = False

    def execute(self, requests: list) -> None:
        """Take each piece; with the last one of a recording, begin to transcribe it."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                file = self._take(request)
            except (uploads.UploadError, request_parameters.ParameterError) as refused:
                _finish(sender, steps.refusal(str(refused)))
            except uploads.TooMany as full:
                _finish(sender, steps.unavailable(str(full)))
            except Exception as unforeseen:  # noqa: BLE001 - raised from here, it would leave the caller waiting
                _finish(sender, steps.failure(repr(unforeseen)))
            else:
                if file is None:
                    _finish(sender)
                else:
                    parameters = json.loads(request.parameters() or "{}")
                    self.under_way.add(sender)
                    self.recordings.submit(self._transcribe, file, parameters, sender, request.is_cancelled)

    def finalize(self) -> None:
        """Give up what is under way."""
        self.is_closing = True
        self.recordings.shutdown(cancel_futures=True)
        self.windows.shutdown(cancel_futures=True)
        self.uploads.close()

    def _take(self, request: "pb_utils.InferenceRequest") -> object:
        flags = request.flags()
        if flags & START:
            if STOPPING and Path(STOPPING).exists():
                raise uploads.TooMany("the server is stopping")
            if self.uploads.count() + len(self.under_way) >= self.most:
                raise uploads.TooMany(FULL)
            request_parameters.pcm_format(json.loads(request.parameters() or "{}"))
        elements = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy()
        return self.uploads.add(
            request.correlation_id(), elements[0, 0], is_first=bool(flags & START), is_last=bool(flags & END)
        )

    def _transcribe(self, file: object, parameters: dict, sender: object, is_cancelled: Callable[[], bool]) -> None:
        def is_given_up() -> bool:
            return self.is_closing or is_cancelled()

        error = None
        try:
            with file:
                if is_given_up():  # while it waited for its turn
                    return
                pcm = request_parameters.pcm_format(parameters)
                models = transcription.Models(
                    acoustic=self._acoustic,
                    decode=lambda log_probs: self._decode(log_probs, parameters),
                    executor=self.windows,
                    windows=int(self.settings["windows"]),
                )
                self._check_options(parameters)
                seconds = float(self.settings["window_seconds"])
                for segment in transcription.transcribe(
                    file, pcm, self.limits, seconds, self.labels, models, is_given_up
                ):
                    sender.send(_response(segment))
        except (container.AudioError, request_parameters.ParameterError) as refused:
            error = steps.refusal(str(refused))
        except steps.StepError as failed:
            error = steps.failure(str(failed))
        except Exception as unforeseen:  # noqa: BLE001 - in a thread, it would be lost, and the caller would wait
            error = steps.failure(repr(unforeseen))
        finally:
            self.under_way.discard(sender)
            _finish(sender, error)

    def _check_options(self, parameters: dict) -> None:
        """Have the decode step look at them before an hour of work is done in vain."""
        if "nbest" in parameters:
            raise request_parameters.ParameterError("nbest is for recordings that the model takes at once")
        try:
            self._decode(steps.silence(self.labels), parameters)
        except steps.StepError as refused:
            raise request_parameters.ParameterError(str(refused)) from refused

    def _acoustic(self, samples: np.ndarray) -> np.ndarray:
        return steps.log_probs_of(steps.ask_acoustic(self.settings["acoustic"], samples).exec())

    def _decode(self, log_probs: np.ndarray, parameters: dict) -> heard.Heard:
        return steps.heard_of(steps.ask_decode(self.settings["ctc_decode"], log_probs, parameters).exec())


def _response(segment: transcription.Segment) -> "pb_utils.InferenceResponse":
    said = segment.heard
    return pb_utils.InferenceResponse(
        [
            steps.text_tensor("TRANSCRIPT", said.text),
            pb_utils.Tensor("CONFIDENCE", np.array([[said.confidence]], dtype=np.float32)),
            pb_utils.Tensor("DURATION", np.array([[segment.seconds_done]], dtype=np.float32)),
            steps.text_tensor("WORDS", json.dumps(said.words, ensure_ascii=False)),
        ]
    )


def _finish(sender: object, response: "pb_utils.InferenceResponse | None" = None) -> None:
    # tritonclient's asyncio client cannot ask for a last response without tensors.
    response = response or _response(transcription.Segment(heard.Heard("", 0.0, []), 0.0))
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
