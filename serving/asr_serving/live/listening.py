"""The state of one live stream: it cuts samples into windows, and turns the model's frames into the text so far.

Windows lie on a fixed grid, so the result does not depend on how the samples were cut into pieces. A window holds a new
chunk, some seconds before it that were heard already, and a moment after it. Each frame counts once, so the text of the
current segment grows and never changes. When silence ends a segment, the caller runs the acoustic model once more, on
the whole segment: the final text is as good as that of a recording.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.audio.speech import Rules, Voices

# Of the speech in windows: at once, without waiting for how long it will be. The final text knows better.
AT_ONCE = Rules(min_speech_ms=0.0, min_silence_ms=0.0, pad_ms=100.0)
# A stride is silent if its level is this far below the loudest one so far, or below an absolute level. The model cannot
# tell, because it normalises the loudness of every window.
_BELOW_LOUDEST_DB = 40.0
_QUIET_DB = -60.0
_BEFORE_SPEECH_S = 0.5  # of silence that a segment keeps before its speech


@dataclass(frozen=True)
class Pace:
    """The lengths of the parts of a window, and of segments, in seconds."""

    before: float  # heard already
    chunk: float  # new
    after: float
    endpoint: float  # silence that ends a segment
    longest: float  # the longest segment


@dataclass(frozen=True)
class Window:
    """A window for the acoustic model."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    start: int  # place of its first sample in the stream
    begin: int  # the samples whose frames are new
    end: int


@dataclass(frozen=True)
class Segment:
    """Something that was said, from silence to silence."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    start: int  # place of its first sample in the stream


class Listener:
    """The state of one stream; its memory is bounded by the longest segment.

    Args:
        labels: of the acoustic model.
        pace: of its windows and segments.
        voices: the voice detector's view of the stream; None: the level says what is quiet.
    """

    def __init__(self, labels: Labels, pace: Pace, voices: Voices | None = None) -> None:
        self._labels = labels
        self._voices = voices
        self._rate, self._stride = labels.sampling_rate, labels.stride_samples
        self._before, self._chunk, self._after = (self._grid(part) for part in (pace.before, pace.chunk, pace.after))
        self._silence = self._grid(pace.endpoint) // self._stride  # frames
        self._longest = self._grid(pace.longest)
        self._samples = np.zeros(0, dtype=np.float32)  # from `_offset` on
        self._offset = 0
        self._windowed = 0  # samples that windows have covered
        self._segment = 0  # first sample of the segment
        self._columns: list[int] = []  # the label of each frame of the segment
        self._loudest = -np.inf

    @property
    def seconds(self) -> float:
        """Return the seconds of audio that have been received."""
        return (self._offset + len(self._samples)) / self._rate

    def _grid(self, seconds: float) -> int:
        return max(1, round(seconds * self._rate / self._stride)) * self._stride

    def push(self, samples: NDArray[np.float32]) -> Iterator[Window]:
        """Yield the windows that are complete with further samples, float32 `[samples]` at the labels' rate."""
        self._samples = np.concatenate((self._samples, samples))
        while self._windowed + self._chunk + self._after <= self._received:
            yield self._next(self._windowed + self._chunk)

    def finish(self) -> Iterator[Window]:
        """Yield the remaining windows at the end of the stream."""
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
        """Take the frames of the next window; return the segment that they end, or None.

        Args:
            window: from `push` or `finish`, in order.
            log_probs: of the window, float32 `[frames, vocab]`.
        """
        first = (window.begin - window.start) // self._stride
        last = first + -(-(window.end - window.begin) // self._stride)
        columns = log_probs[first:last].argmax(axis=1)
        if self._voices:
            self._voices.hear(window.samples[self._voices.received - window.start :])
        for index, column in enumerate(columns.tolist()):
            is_quiet = self._is_quiet(window, (first + index) * self._stride)
            self._columns.append(self._labels.blank if is_quiet else column)
        if self._voices:
            self._voices.forget(window.end)
        spoken = self._spoken()
        if not len(spoken):
            self._forget(window.end - self._before)
            return None
        if len(self._columns) - 1 - spoken[-1] >= self._silence:
            return self._end(int(spoken[-1]) + 1 + self._silence // 2)
        if len(self._columns) * self._stride >= self._longest:
            return self._end(self._pause(spoken))
        return None

    def _is_quiet(self, window: Window, at: int) -> bool:
        """Return whether the stride from this sample of a window on is quiet."""
        if self._voices:
            return not self._voices.spans(window.start + at, window.start + at + self._stride)
        level = _level(window.samples[at : at + self._stride])
        self._loudest = max(self._loudest, level)
        return level < max(_QUIET_DB, self._loudest - _BELOW_LOUDEST_DB)

    def finish_segment(self) -> Segment | None:
        """Return the segment that was being said when the stream ended; None for silence."""
        return self._end(len(self._columns)) if len(self._spoken()) else None

    def text(self) -> tuple[str, int]:
        """Return the text of the segment so far, and how many of its characters belong to complete words."""
        columns = [
            column
            for index, column in enumerate(self._columns)
            if column != self._labels.blank and (not index or column != self._columns[index - 1])
        ]
        text = " ".join(self._labels.text(columns).split())  # no two spaces if a delimiter was heard twice
        if self._labels.delimiter is not None and columns and columns[-1] == self._labels.delimiter:
            return text, len(text)
        return text, max(0, text.rfind(" "))

    def _spoken(self) -> NDArray[np.int64]:
        """Return the frames of the segment that hold speech."""
        columns = np.array(self._columns, dtype=np.int64)
        delimiter = self._labels.blank if self._labels.delimiter is None else self._labels.delimiter
        return np.flatnonzero((columns != self._labels.blank) & (columns != delimiter))

    def _pause(self, spoken: NDArray[np.int64]) -> int:
        """Return the frame in the middle of the longest gap in the second half of the segment."""
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
        """Let a segment without speech begin later."""
        frames = min(max(0, until - self._segment) // self._stride, len(self._columns))
        self._columns = self._columns[frames:]
        self._segment += frames * self._stride
        self._drop()

    def _drop(self) -> None:
        """Drop the samples that neither the segment nor the next window needs."""
        offset = max(self._offset, min(self._segment, self._windowed - self._before) // self._stride * self._stride)
        self._samples = self._samples[offset - self._offset :]
        self._offset = offset


def _level(samples: NDArray[np.float32]) -> float:
    """Return the level in dB of full scale."""
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-12)) if len(samples) else -np.inf
