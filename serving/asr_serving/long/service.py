"""The service for recordings of any length: it takes their pieces and returns segments of the transcript.

The caller passes the functions that run the models.
"""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import numpy as np
from asr_contract import parameters as contract
from asr_contract.errors import QueueFull
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.audio.request import pcm_format, wants_vad
from asr_serving.audio.speech import Detector
from asr_serving.audio.waveform import Limits
from asr_serving.ctc.heard import Heard, silence
from asr_serving.long.transcription import Models, Segment, transcribe
from asr_serving.long.uploads import Uploads
from asr_serving.overload import stopping
from asr_serving.sequences import Piece

SETTINGS = {
    "acoustic",  # the models that it calls
    "ctc_decode",
    "sampling_rate",
    "min_samples",
    "max_seconds",  # of a recording
    "max_bytes",
    "window_seconds",
    "recordings",  # transcribed at the same time; others wait
    "max_queue",  # recordings that may wait
    "windows",  # in the acoustic model at the same time, of all recordings; the rest of its queue is for others
}

Acoustic = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # `[samples]` -> log-probs `[frames, vocab]`
Decode = Callable[[NDArray[np.float32], Mapping[str, object]], Heard]


class LongRecordings:
    """The recordings that are being uploaded, wait, or are being transcribed.

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
        recordings, self._windows_each = int(settings["recordings"]), int(settings["windows"])
        self._most = recordings + int(settings["max_queue"])
        self._uploads = Uploads(int(settings["max_bytes"]))
        self._recordings = ThreadPoolExecutor(recordings, thread_name_prefix="recording")
        self._windows = ThreadPoolExecutor(self._windows_each, thread_name_prefix="window")
        self._under_way: set[object] = set()
        self._is_closing = False

    def take(self, piece: Piece) -> BinaryIO | None:
        """Take a piece of a recording: of an audio file or of raw samples.

        Returns:
            The whole recording, in a file that is removed when it is closed; None if it is not complete.

        Raises:
            ServiceError: the server takes no more recordings, a parameter is malformed, or the piece cannot be taken.
        """
        if piece.is_last and piece.parameters.get(contract.DISCARD):
            self._uploads.drop(piece.key)
            return None
        if piece.is_first:
            stopping.check()
            if self._uploads.count() + len(self._under_way) >= self._most:
                raise QueueFull("the server has more long recordings than it can handle")
            pcm_format(piece.parameters)
        return self._uploads.add(piece)

    def start(
        self,
        file: BinaryIO,
        parameters: Mapping[str, object],
        tell: Callable[[Segment], None],
        finish: Callable[[Exception | None], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        """Transcribe a recording in a thread, as soon as one is free.

        Args:
            file: from `take`.
            parameters: of the request.
            tell: called with each segment.
            finish: called once at the end: with the exception that ended it early, or with None.
            is_cancelled: returns whether the caller has gone.
        """
        self._under_way.add(file)
        self._recordings.submit(self._transcribe, file, parameters, tell, finish, is_cancelled)

    def close(self) -> None:
        """Give up all recordings."""
        self._is_closing = True
        self._recordings.shutdown(cancel_futures=True)
        self._windows.shutdown(cancel_futures=True)
        self._uploads.close()

    @functools.cached_property
    def _detector(self) -> Detector:
        """Load the detector for the first recording that asks for it."""
        return Detector.load()

    def _transcribe(
        self,
        file: BinaryIO,
        parameters: Mapping[str, object],
        tell: Callable[[Segment], None],
        finish: Callable[[Exception | None], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        def is_given_up() -> bool:
            return self._is_closing or is_cancelled()

        failed: Exception | None = None
        try:
            with file:
                if is_given_up():  # while it waited for its turn
                    return
                pcm = pcm_format(parameters)
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
                for segment in transcribe(
                    file, pcm, self._limits, self._window_seconds, self._labels, models, is_given_up, detector
                ):
                    tell(segment)
        except Exception as error:  # noqa: BLE001 - the thread would lose it, and the caller would wait for ever
            failed = error
        finally:
            self._under_way.discard(file)
            finish(failed)
