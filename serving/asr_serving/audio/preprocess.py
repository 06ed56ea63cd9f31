"""The preprocess step: from the bytes of a recording to the acoustic model's input."""

import functools
import math
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from asr_contract.errors import QueueFull, ServiceError, Stopping
from numpy.typing import NDArray

from asr_serving.audio import buckets, waveform
from asr_serving.audio.request import pcm_format, selection, wants_vad
from asr_serving.audio.speech import RECOGNITION, Detector, silenced
from asr_serving.overload import backlog, stopping
from asr_serving.overload.heap import Heap

SETTINGS = {"sampling_rate", "min_samples", "max_audio_seconds"}
# `bucket_samples`: the lengths to pad to, for an acoustic model that takes padded audio; the step then has a third
# output, `lengths`. `feeds`: the models after this step, with the sizes of their queues.
OPTIONAL = {"bucket_samples", "feeds"}
SPEECH = "speech"  # the output that says where speech is
# HOST:PORT of this server's metrics, which say how many requests wait for the next models. `triton-asr serve` sets it;
# the default is Triton's own address; empty turns the check off.
METRICS = "TRITON_ASR_METRICS"
_DEFAULT_METRICS = "localhost:8002"


class Preprocess:
    """Prepares recordings, and refuses requests for which the next models have no room.

    Args:
        settings: of the model's configuration: SETTINGS, and some of OPTIONAL.
        warn: called with a line for the log.

    Raises:
        ValueError: a setting is malformed.
    """

    def __init__(self, settings: Mapping[str, str], warn: Callable[[str], None]) -> None:
        self._limits = waveform.Limits(
            sampling_rate=int(settings["sampling_rate"]),
            min_samples=int(settings["min_samples"]),
            max_seconds=float(settings["max_audio_seconds"]),
        )
        longest = math.ceil(self._limits.max_seconds * self._limits.sampling_rate)
        self._buckets = buckets.parse(settings.get("bucket_samples", ""), longest)
        feeds = backlog.parse_feeds(settings.get("feeds", ""))
        self._heap = Heap()
        self.backlog = backlog.Backlog(os.environ.get(METRICS, _DEFAULT_METRICS), feeds, warn)

    def admit(self, asked: int) -> tuple[int, ServiceError]:
        """Return how many of `asked` requests to take, and the error for the others."""
        self._heap.tidy()
        try:
            stopping.check()
        except Stopping as refusal:
            return 0, refusal
        return self.backlog.take(asked), QueueFull("the server has more requests than it can handle")

    def prepare(
        self, data: bytes, parameters: Mapping[str, object], outputs: Collection[str] = ()
    ) -> dict[str, NDArray[Any]]:
        """Return the tensors of one recording.

        Args:
            data: an audio file, or raw samples.
            parameters: of the request.
            outputs: names of the tensors that the next steps want. Those that do not want `speech` do not have the
                parameter `vad`, or see to it themselves.

        Returns:
            `audio` float32 `[1, samples]` and `duration` float32 `[1, 1]` in seconds. With buckets, `audio` is padded,
            and `lengths` int32 `[1, 1]` is the number of its real samples. `speech` int32 `[1, 2 * spans]` has the
            first sample of each span with speech, and the one after its last: one span of 0 samples if nobody speaks,
            one with all samples without `vad`. With `vad`, `audio` is silent elsewhere.

        Raises:
            AudioError: the recording cannot be used.
            ParameterError: a parameter about the recording is malformed, or the package of the detector is missing.
        """
        samples, seconds = waveform.load(data, self._limits, pcm_format(parameters), selection(parameters))
        speech = [(0, len(samples))]
        if SPEECH in outputs and wants_vad(parameters):
            speech = self._detector.spans(samples, self._limits.sampling_rate, RECOGNITION)
            samples = silenced(samples, speech)
        tensors: dict[str, NDArray[Any]] = {
            "audio": buckets.pad(samples, self._buckets)[None],
            "duration": np.array([[seconds]], dtype=np.float32),
        }
        if self._buckets:
            tensors["lengths"] = np.array([[len(samples)]], dtype=np.int32)
        if SPEECH in outputs:
            # The next step could not tell an empty tensor from a broken request.
            tensors[SPEECH] = np.array(speech or [(0, 0)], dtype=np.int32).reshape(1, -1)
        return tensors

    @functools.cached_property
    def _detector(self) -> Detector:
        """Load the detector for the first request that asks for it: most servers never need it."""
        return Detector.load()

    def close(self) -> None:
        """Close the connection to the metrics."""
        self.backlog.close()
