"""Joining of windows: their frames become paragraphs, which are decoded one by one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.long.windows import Window

_GAP_FRAMES = 9  # length of the pause between words that the stitcher looks for


@dataclass(frozen=True)
class Paragraph:
    """The frames of one paragraph, mostly from silence to silence."""

    log_probs: NDArray[np.float32]  # float32 `[frames, vocab]`
    first_frame: int  # its place in the recording
    end: int  # the first sample of the recording after it


class Stitcher:
    """Joins the frames of windows into paragraphs.

    A paragraph ends where a window ends in silence. If it grows longer than `max_seconds`, it ends in the pause between
    words of which the acoustic model is most certain.

    Args:
        labels: of the acoustic model.
        max_seconds: approximate length of the longest paragraph; bounds memory.
    """

    def __init__(self, labels: Labels, max_seconds: float) -> None:
        self._labels = labels
        self._max_frames = int(max_seconds * labels.sampling_rate / labels.stride_samples)
        self._held: list[NDArray[np.float32]] = []
        self._first = 0

    def add(self, window: Window, log_probs: NDArray[np.float32]) -> Iterator[Paragraph]:
        """Yield the paragraphs that the next window completes.

        Args:
            window: from `windows.Cutter`, in order.
            log_probs: of the window, float32 `[frames, vocab]`.
        """
        stride = self._labels.stride_samples
        offset = window.start // stride
        last = window.end // stride - offset if window.goes_on else len(log_probs)
        if not self._held:
            self._first = window.begin // stride
        self._held.append(log_probs[window.begin // stride - offset : last])
        frames = sum(map(len, self._held))
        if not window.goes_on:
            yield Paragraph(np.concatenate(self._held), self._first, window.end)
            self._held = []
        elif frames > self._max_frames:
            held = np.concatenate(self._held)
            cut = self._pause(held)
            yield Paragraph(held[:cut], self._first, (self._first + cut) * stride)
            self._held, self._first = [held[cut:]], self._first + cut

    def _pause(self, log_probs: NDArray[np.float32]) -> int:
        """Return the frame in the second half at which silence is most certain."""
        columns = [self._labels.blank] + ([] if self._labels.delimiter is None else [self._labels.delimiter])
        half = len(log_probs) // 2
        silent = np.exp(log_probs[half:, columns]).sum(axis=1)
        means = np.convolve(silent, np.ones(_GAP_FRAMES) / _GAP_FRAMES, mode="valid")
        return half + int(means.argmax()) + _GAP_FRAMES // 2
