"""The service for recordings of any length: it takes their pieces and returns segments of the transcript."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Protocol

from asr_contract import parameters as contract
from asr_contract.errors import QueueFull

from asr_serving.audio.request import pcm_format, selection
from asr_serving.long.segments import Segment
from asr_serving.long.uploads import Uploads
from asr_serving.overload import stopping
from asr_serving.sequences import Piece

SETTINGS = {
    "max_bytes",  # of a recording
    "recordings",  # transcribed at the same time; others wait
    "max_queue",  # recordings that may wait
}


class Transcriber(Protocol):
    """Turns recordings into segments; `long.ctc` and `long.whisper` have one."""

    def segments(
        self, file: BinaryIO, parameters: Mapping[str, object], is_given_up: Callable[[], bool]
    ) -> Iterator[Segment]:
        """Yield the segments of a recording in order, as soon as they are ready.

        Args:
            file: an audio file or raw samples.
            parameters: of the request; they say which.
            is_given_up: called before each run of a model; True ends the segments, because nobody waits for them.

        Raises:
            ServiceError: a parameter is malformed, the recording cannot be used, or a model failed.
        """

    def close(self) -> None:
        """Free what all recordings share."""


class LongRecordings:
    """The recordings that are being uploaded, wait, or are being transcribed.

    Args:
        settings: of the model's configuration: SETTINGS, and those of the transcriber.
        transcriber: of the recordings.
    """

    def __init__(self, settings: Mapping[str, str], transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        recordings = int(settings["recordings"])
        self._most = recordings + int(settings["max_queue"])
        self._uploads = Uploads(int(settings["max_bytes"]))
        self._recordings = ThreadPoolExecutor(recordings, thread_name_prefix="recording")
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
            selection(piece.parameters)
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
        self._transcriber.close()
        self._uploads.close()

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
                for segment in self._transcriber.segments(file, parameters, is_given_up):
                    tell(segment)
        except Exception as error:  # noqa: BLE001 - the thread would lose it, and the caller would wait for ever
            failed = error
        finally:
            self._under_way.discard(file)
            finish(failed)
