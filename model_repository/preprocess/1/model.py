"""Triton adapter of the preprocess step: unpack, `audio.load`, pack."""

import json
import math
import os
from pathlib import Path

import audio
import backlog
import buckets
import numpy as np
import request as request_parameters
import triton_python_backend_utils as pb_utils
from heap import Heap

SETTINGS = {"sampling_rate", "min_samples", "max_audio_seconds"}
# For an acoustic model that takes padded audio: the lengths to pad to. There is then a third output, `lengths`.
# And the models behind this step, with the sizes of their queues.
OPTIONAL = {"bucket_samples", "feeds"}

# Names a file that `triton-asr serve` makes when it is about to stop. Triton itself would fail every request that still
# has a step before it; so the first step refuses new ones, and the server stops when those under way are done.
STOPPING = os.environ.get("TRITON_ASR_STOPPING", "")
# HOST:PORT of this server's metrics, which tell what waits for the models behind. `triton-asr serve` sets it; the
# default is where Triton has them by itself; empty turns it off.
METRICS = os.environ.get("TRITON_ASR_METRICS", "localhost:8002")
# In the words of Triton, which say the same of a queue of its own.
FULL = "Exceeds maximum queue size of the models behind: the server has more requests than it can do"


class TritonPythonModel:
    """One AUDIO element per request -> `audio` FP32 [1, samples] and `duration` FP32 [1, 1] in seconds.

    With buckets, `audio` is padded and `lengths` INT32 [1, 1] tells how many of its samples are real.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Read the limits from the model's configuration; Triton itself would ignore a misspelt key."""
        settings = {key: item["string_value"] for key, item in json.loads(args["model_config"])["parameters"].items()}
        if settings.keys() - OPTIONAL != SETTINGS:
            raise pb_utils.TritonModelException(
                f"parameters are {sorted(settings)}; needs {sorted(SETTINGS)}, and takes {sorted(OPTIONAL)}"
            )
        self.limits = audio.Limits(
            sampling_rate=int(settings["sampling_rate"]),
            min_samples=int(settings["min_samples"]),
            max_seconds=float(settings["max_audio_seconds"]),
        )
        longest = math.ceil(self.limits.max_seconds * self.limits.sampling_rate)
        try:
            self.buckets = buckets.parse(settings.get("bucket_samples", ""), longest)
            feeds = backlog.parse_feeds(settings.get("feeds", ""))
        except ValueError as refused:
            raise pb_utils.TritonModelException(str(refused)) from refused
        self.heap = Heap()
        self.backlog = backlog.Backlog(METRICS, feeds, lambda line: pb_utils.Logger.log_warn(line))

    def execute(self, requests: list) -> list | None:
        """Answer each request for itself, and as soon as that is done: a bad one does not touch its neighbours."""
        self.heap.tidy()
        if STOPPING and Path(STOPPING).exists():
            taken, refusal = 0, "the server is stopping"
        else:
            taken, refusal = self.backlog.take(len(requests)), FULL
        if len(requests) == 1:  # returned, it is there a little sooner than sent
            return [self._answer(requests[0]) if taken else _unavailable(refusal)]
        for request in requests[taken:]:
            _send(request, _unavailable(refusal))
        for request in requests[:taken]:
            _send(request, self._answer(request))
        return None

    def finalize(self) -> None:
        """Close what is open; Triton calls this before it ends the process."""
        self.backlog.close()

    def _answer(self, request: "pb_utils.InferenceRequest") -> "pb_utils.InferenceResponse":
        if request.is_cancelled():
            error = pb_utils.TritonError("the caller has gone", pb_utils.TritonError.CANCELLED)
            return pb_utils.InferenceResponse(error=error)
        try:
            elements = pb_utils.get_input_tensor_by_name(request, "AUDIO").as_numpy()
            if elements.shape != (1, 1):
                raise audio.AudioError(f"AUDIO has shape {list(elements.shape)}; needs [1, 1]: one recording a request")
            pcm = request_parameters.pcm_format(json.loads(request.parameters() or "{}"))
            waveform, seconds = audio.load(elements[0, 0], self.limits, pcm)
        except (audio.AudioError, request_parameters.ParameterError) as refused:
            error = pb_utils.TritonError(str(refused), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        except Exception as unforeseen:  # noqa: BLE001 - raised from `execute`, it would fail the whole batch
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError(repr(unforeseen), pb_utils.TritonError.INTERNAL)
            )
        tensors = [
            pb_utils.Tensor("audio", buckets.pad(waveform, self.buckets)[None]),
            pb_utils.Tensor("duration", np.array([[seconds]], dtype=np.float32)),
        ]
        if self.buckets:
            tensors.append(pb_utils.Tensor("lengths", np.array([[len(waveform)]], dtype=np.int32)))
        return pb_utils.InferenceResponse(tensors)


def _send(request: "pb_utils.InferenceRequest", response: "pb_utils.InferenceResponse") -> None:
    request.get_response_sender().send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _unavailable(reason: str) -> "pb_utils.InferenceResponse":
    # An error of its own for each response: one that several share corrupts tritonserver's memory.
    error = pb_utils.TritonError(reason, pb_utils.TritonError.UNAVAILABLE)
    return pb_utils.InferenceResponse(error=error)
