"""The pieces of a live stream: bytes that may end anywhere become samples."""

import numpy as np
import soxr
from asr_contract.errors import AudioError
from numpy.typing import NDArray

from asr_serving.audio.container import PCM_DTYPES, PcmFormat
from asr_serving.audio.samples import downmix
from asr_serving.audio.waveform import check_samples

MAX_PIECE_S = 10.0


class PieceReader:
    """Reads the pieces of one stream.

    Args:
        pcm: the layout of its samples.
        rate: of the model, in Hz.
    """

    def __init__(self, pcm: PcmFormat, rate: int) -> None:
        self._pcm = pcm
        self._rate = rate
        self._dtype = PCM_DTYPES[pcm.encoding]
        self._rest = b""  # bytes of an incomplete frame
        self._frames = 0  # read so far
        self._resampler = self._new_resampler()

    def _new_resampler(self) -> soxr.ResampleStream | None:
        if self._pcm.sampling_rate == self._rate:
            return None
        return soxr.ResampleStream(self._pcm.sampling_rate, self._rate, 1, dtype="float32", quality="HQ")

    @property
    def place(self) -> int:
        """Return the place in the stream up to which samples were read, in samples at the model's rate."""
        return round(self._frames * self._rate / self._pcm.sampling_rate)

    def read(self, data: bytes, is_end: bool) -> NDArray[np.float32]:
        """Return the samples of a piece as mono float32 at the model's rate.

        Args:
            data: raw samples; the bytes of an incomplete frame wait for the next piece.
            is_end: a resampler is always some samples behind; give them, too. The next piece is heard without what was
                before it.

        Raises:
            AudioError: the piece is too long, or holds NaN or Inf.
        """
        data = self._rest + data
        frame_bytes = self._dtype.itemsize * self._pcm.channels
        whole = len(data) // frame_bytes * frame_bytes
        if whole > MAX_PIECE_S * self._pcm.sampling_rate * frame_bytes:
            seconds = whole / frame_bytes / self._pcm.sampling_rate
            raise AudioError(f"this piece holds {seconds:.1f} s; needs {MAX_PIECE_S:g} s or less")
        self._rest = data[whole:]
        self._frames += whole // frame_bytes
        samples = np.frombuffer(data[:whole], self._dtype).reshape(-1, self._pcm.channels)
        scale = 32768 if self._dtype.kind == "i" else 1
        mono = downmix(samples.astype(np.float32)) / np.float32(scale)
        if len(mono):
            check_samples(mono)
        if self._resampler is None:
            return mono
        resampled: NDArray[np.float32] = self._resampler.resample_chunk(mono, last=is_end)
        if is_end:
            self._resampler = self._new_resampler()  # the old one takes nothing more
        return resampled
