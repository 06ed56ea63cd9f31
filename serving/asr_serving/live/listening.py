"""One live stream: samples in, windows for the acoustic model out; its frames in, what was heard so far out.

Windows lie on a fixed grid, so that the result does not depend on how the samples were cut into pieces: a chunk that is
new, some seconds before it that were heard already, and a moment after it. Each frame is heard once, which makes the
text of what is being said grow and never change. When a silence ends a segment, the caller has the acoustic model hear
it once more as a whole: what is final is as good as if it had been recorded first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

# Of a stride's samples: what is so far below the loudest so far, or so quiet at all, is silence, whatever the model
# makes of it (it hears every window as loud as any other).
_BELOW_LOUDEST_DB = 40.0
_QUIET_DB = -60.0
_BEFORE_SPEECH_S = 0.5  # of silence that a segment keeps


@dataclass(frozen=True)
class Pace:
    """The position of the windows, in seconds."""

    before: float  # heard already
    chunk: float  # new
    after: float
    endpoint: float  # silence that ends a segment
    longest: float  # segment


@dataclass(frozen=True)
class Window:
    """A window that the acoustic model hears next."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    start: int  # its first sample's place in the stream
    begin: int  # the samples whose frames are new
    end: int


@dataclass(frozen=True)
class Segment:
    """Something that was said, from silence to silence."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    start: int  # its first sample's place in the stream


class Listener:
    """The state of one stream; its memory is bounded by the longest segment.

    Args:
        labels: of the acoustic model.
        pace: how the windows lie.
    """

    def __init__(self, labels: Labels, pace: Pace) -> None:
        self._labels = labels
        self._rate, self._stride = labels.sampling_rate, labels.stride_samples
        self._before, self._chunk, self._after = (self._grid(part) for part in (pace.before, pace.chunk, pace.after))
        self._silence = self._grid(pace.endpoint) // self._stride  # frames
        self._longest = self._grid(pace.longest)
        self._samples = np.zeros(0, dtype=np.float32)  # from `_offset` on
        self._offset = 0
        self._windowed = 0  # samples whose windows have been given out
        self._segment = 0  # first sample of the segment
        self._columns: list[int] = []  # the label of each frame since then
        self._loudest = -np.inf

    @property
    def seconds(self) -> float:
        """Seconds that have been received."""
        return (self._offset + len(self._samples)) / self._rate

    def _grid(self, seconds: float) -> int:
        return max(1, round(seconds * self._rate / self._stride)) * self._stride

    def push(self, samples: NDArray[np.float32]) -> Iterator[Window]:
        """The windows that further samples, float32 `[samples]` at the labels' rate, make complete."""
        self._samples = np.concatenate((self._samples, samples))
        while self._windowed + self._chunk + self._after <= self._received:
            yield self._next(self._windowed + self._chunk)

    def finish(self) -> Iterator[Window]:
        """The windows that are left when nothing more will come."""
        while self._windowed < self._received:
            yield self._next(min(self._windowed + self._chunk, self._received))

    @property
    def _received(self) -> int:
        return self._offset + len(self._samples)

    def _next(self, end: int) -> Window:
        start = max(self._offset, self._windowed - self._before)
        last = min(end + self._after, self._received)
        window = Window(self._samples[start - self._offset : last - self._offset], start, self._windowed, end)
        self._windowed = end
        return window

    def hear(self, window: Window, log_probs: NDArray[np.float32]) -> Segment | None:
        """Take the frames of the next window; the segment that is over with them, if one is.

        Args:
            window: as `push` or `finish` gave it, in their order.
            log_probs: float32 `[frames, vocab]` of it.
        """
        first = (window.begin - window.start) // self._stride
        last = first + -(-(window.end - window.begin) // self._stride)
        columns = log_probs[first:last].argmax(axis=1)
        for index, column in enumerate(columns.tolist()):
            at = (first + index) * self._stride
            level = _level(window.samples[at : at + self._stride])
            self._loudest = max(self._loudest, level)
            is_quiet = level < max(_QUIET_DB, self._loudest - _BELOW_LOUDEST_DB)
            self._columns.append(self._labels.blank if is_quiet else column)
        spoken = self._spoken()
        if not len(spoken):
            self._forget(window.end - self._before)
            return None
        if len(self._columns) - 1 - spoken[-1] >= self._silence:
            return self._end(int(spoken[-1]) + 1 + self._silence // 2)
        if len(self._columns) * self._stride >= self._longest:
            return self._end(self._pause(spoken))
        return None

    def finish_segment(self) -> Segment | None:
        """Return the segment that was being said when the stream ended; None for silence."""
        return self._end(len(self._columns)) if len(self._spoken()) else None

    def text(self) -> tuple[str, int]:
        """Return what is being said, and how many of its characters belong to complete words."""
        columns = [
            column
            for index, column in enumerate(self._columns)
            if column != self._labels.blank and (not index or column != self._columns[index - 1])
        ]
        text = " ".join(self._labels.text(columns).split())  # no two spaces where a delimiter was heard twice
        if self._labels.delimiter is not None and columns and columns[-1] == self._labels.delimiter:
            return text, len(text)
        return text, max(0, text.rfind(" "))

    def _spoken(self) -> NDArray[np.int64]:
        """The frames of the segment in which something is said."""
        columns = np.array(self._columns, dtype=np.int64)
        delimiter = self._labels.blank if self._labels.delimiter is None else self._labels.delimiter
        return np.flatnonzero((columns != self._labels.blank) & (columns != delimiter))

    def _pause(self, spoken: NDArray[np.int64]) -> int:
        """The frame in the middle of the longest gap in the later half of what is said."""
        later = spoken[spoken >= len(self._columns) // 2]
        if len(later) < 2:
            return len(self._columns)
        widest = int(np.diff(later).argmax())
        return int(later[widest] + later[widest + 1] + 1) // 2

    def _end(self, frames: int) -> Segment:
        spoken = self._spoken()
        begin = max(self._segment, self._segment + int(spoken[0]) * self._stride - self._grid(_BEFORE_SPEECH_S))
        end = min(self._segment + frames * self._stride, self._received)
        segment = Segment(self._samples[begin - self._offset : end - self._offset].copy(), begin)
        self._columns = self._columns[frames:]
        self._segment = self._segment + frames * self._stride
        self._drop()
        return segment

    def _forget(self, until: int) -> None:
        """Let a segment in which nothing was said begin later."""
        frames = min(max(0, until - self._segment) // self._stride, len(self._columns))
        self._columns = self._columns[frames:]
        self._segment += frames * self._stride
        self._drop()

    def _drop(self) -> None:
        """Samples that neither the segment nor the next window needs."""
        offset = max(self._offset, min(self._segment, self._windowed - self._before) // self._stride * self._stride)
        self._samples = self._samples[offset - self._offset :]
        self._offset = offset


def _level(samples: NDArray[np.float32]) -> float:
    """In dB of full scale."""
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-12)) if len(samples) else -np.inf
