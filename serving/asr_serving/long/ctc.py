"""Long recordings through a CTC model: windows through the acoustic model, paragraphs through the decode step."""

import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np
from asr_contract import parameters as contract
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.audio.container import blocks
from asr_serving.audio.request import pcm_format, selection, wants_vad
from asr_serving.audio.speech import Detector
from asr_serving.audio.waveform import Limits
from asr_serving.ctc.heard import Heard, silence
from asr_serving.long.segments import Segment
from asr_serving.long.service import SETTINGS as SHARED
from asr_serving.long.transcription import Models, transcribe

SETTINGS = SHARED | {
    "acoustic",  # the models that it calls
    "ctc_decode",
    "sampling_rate",
    "min_samples",
    "max_seconds",  # of a recording
    "window_seconds",
    "windows",  # in the acoustic model at the same time, of all recordings; the rest of its queue is for others
}

Acoustic = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # `[samples]` -> log-probs `[frames, vocab]`
Decode = Callable[[NDArray[np.float32], Mapping[str, object]], Heard]


class CtcTranscriber:
    """See `service.Transcriber`.

    Args:
        settings: of the model's configuration: SETTINGS.
        labels: of the acoustic model.
        acoustic: calls the acoustic model.
        decode: calls the decode step.
    """

    def __init__(self, settings: Mapping[str, str], labels: Labels, acoustic: Acoustic, decode: Decode) -> None:
        self._labels, self._acoustic, self._decode = labels, acoustic, decode
        rate, shortest = int(settings["sampling_rate"]), int(settings["min_samples"])
        self._limits = Limits(rate, shortest, float(settings["max_seconds"]))
        self._window_seconds = float(settings["window_seconds"])
        self._windows_each = int(settings["windows"])
        self._windows = ThreadPoolExecutor(self._windows_each, thread_name_prefix="window")

    def segments(
        self, file: BinaryIO, parameters: Mapping[str, object], is_given_up: Callable[[], bool]
    ) -> Iterator[Segment]:
        """Yield the segments of a recording; see `service.Transcriber`."""
        pcm, heard = pcm_format(parameters), selection(parameters)
        contract.refuse_whole_only(parameters, "long recordings")
        # The decode step checks the options now, not after an hour of work.
        self._decode(silence(self._labels), parameters)
        models = Models(
            acoustic=self._acoustic,
            decode=lambda log_probs: self._decode(log_probs, parameters),
            executor=self._windows,
            windows=self._windows_each,
        )
        detector = self._detector if wants_vad(parameters) else None
        pieces = blocks(file, pcm, heard)
        return transcribe(pieces, self._limits, self._window_seconds, self._labels, models, is_given_up, detector)

    def close(self) -> None:
        """Give up the windows that wait."""
        self._windows.shutdown(cancel_futures=True)

    @functools.cached_property
    def _detector(self) -> Detector:
        """Load the detector for the first recording that asks for it."""
        return Detector.load()
