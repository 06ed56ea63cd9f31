"""Temporary files for recordings that arrive in pieces."""

import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from asr_contract.errors import AudioTooLong, ModelFailed, SequenceError

from asr_serving.sequences import Piece

IDLE_S = 60.0  # an upload without a new piece for this long is given up


@dataclass
class _Upload:
    file: BinaryIO
    size: int = 0
    touched: float = field(default=0.0)


class Uploads:
    """The uploads under way, by the id of their sequence.

    Args:
        max_bytes: of one recording.
        clock: monotonic, in seconds.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._uploads: dict[object, _Upload] = {}

    def count(self) -> int:
        """Return how many uploads are under way."""
        with self._lock:
            self._give_up_idle_ones()
            return len(self._uploads)

    def add(self, piece: Piece) -> BinaryIO | None:
        """Add the next piece to its upload.

        Returns:
            The whole recording, in a file that is removed when it is closed; None if more pieces will come.

        Raises:
            SequenceError: the upload was never begun, or has been given up.
            AudioTooLong: the recording has more than `max_bytes`.
            ModelFailed: the disk cannot store the piece.
        """
        with self._lock:
            self._give_up_idle_ones()
            key = piece.key
            if piece.is_first:
                self._drop(key)  # the caller starts again
                file = tempfile.TemporaryFile(prefix="asr-long-")  # noqa: SIM115 - closed when the upload ends
                self._uploads[key] = _Upload(cast("BinaryIO", file))
            upload = self._uploads.get(key)
            if upload is None:
                raise SequenceError(
                    f"this upload was not begun here, or not continued for {IDLE_S:g} s; send it again, with the start "
                    "of a sequence"
                )
            upload.touched = self._clock()
            upload.size += len(piece.data)
            if upload.size > self._max_bytes:
                self._drop(key)
                raise AudioTooLong(f"recording is larger than {self._max_bytes:,} bytes, the limit for one recording")
            try:
                upload.file.write(piece.data)
                if piece.is_last:
                    upload.file.flush()
            except OSError as error:
                self._drop(key)
                raise ModelFailed(f"the server cannot keep the recording: {error.strerror or error}") from error
            return self._uploads.pop(key).file if piece.is_last else None

    def drop(self, key: object) -> None:
        """Give up an upload, if there is one."""
        with self._lock:
            self._drop(key)

    def close(self) -> None:
        """Give up all uploads."""
        with self._lock:
            for key in list(self._uploads):
                self._drop(key)

    def _drop(self, key: object) -> None:
        upload = self._uploads.pop(key, None)
        if upload is not None:
            upload.file.close()

    def _give_up_idle_ones(self) -> None:
        now = self._clock()
        for key in [key for key, upload in self._uploads.items() if now - upload.touched > IDLE_S]:
            self._drop(key)
