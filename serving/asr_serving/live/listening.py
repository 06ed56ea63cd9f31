"""The state of one live stream: it cuts samples into windows, and turns the model's frames into the text so far.

Windows lie on a fixed grid, so the result does not depend on how the samples were cut into pieces. A window holds a new
chunk, some seconds before it that were heard already, and a moment after it. Each frame counts once, so the text of the
current segment grows and never changes. When silence ends a segment, the caller runs the acoustic model once more, on
the whole segment, and on some seconds before it.

A model that hears a window of two seconds may miss words that it writes when it hears more: at the beginning of a
stream, after a pause, if it takes averages over all that it hears. So labels alone say neither where a segment begins
nor where it ends. It begins with the first sound, and ends in a pause of the audio.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

from asr_serving.audio.loudness import is_silent, quietest, runs
from asr_serving.audio.speech import Rules, Voices

# Of the speech in windows: at once, without waiting for how long it will be. The final text knows better.
AT_ONCE = Rules(min_speech_ms=0.0, min_silence_ms=0.0, pad_ms=100.0)
# A stride is silent if its level is this far below the loudest one so far, or below an absolute level. The model cannot
# tell, because it normalises the loudness of every window.
_BELOW_LOUDEST_DB = 40.0
_QUIET_DB = -60.0
_BEFORE_SOUND_S = 0.5  # of silence that a segment keeps before its first sound
_UNHEARD_S = 5.0  # of sound without labels that a segment keeps before its first label
_SURE_S = 0.3  # of speech without labels, paddings included: what the voice detector finds of a click is shorter
_QUIETEST_OVER_S = 0.1  # of speech without a pause, the place for a cut


@dataclass(frozen=True)
class Pace:
    """The lengths of the parts of a window, and of segments, in seconds."""

    before: float  # heard already
    chunk: float  # new
    after: float
    endpoint: float  # silence that ends a segment
    longest: float  # the longest segment
    context: float  # at most, heard once more before a segment, for its final text
    each_frame: bool = False  # look for that silence after each frame, and not only after each chunk


@dataclass(frozen=True)
class Window:
    """A window for the acoustic model."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    start: int  # place of its first sample in the stream
    begin: int  # the samples whose frames are new
    end: int


@dataclass(frozen=True)
class Segment:
    """Something that was said, from pause to pause, with what was heard before it."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    context: int  # how many of them, at the beginning, are before the segment; whole strides
    start: int  # place of the segment's first sample in the stream

    @property
    def end(self) -> int:
        """Return the place in the stream after its last sample."""
        return self.start + len(self.samples) - self.context


class Listener:
    """The state of one stream; its memory is bounded by the longest segment and the context.

    Args:
        labels: of the acoustic model.
        pace: of its windows and segments.
        voices: the voice detector's view of the stream; None: the level says what is quiet.
        loudest: level in dB of the loudest stride before the stream, as far as is known.
    """

    def __init__(
        self, labels: Labels, pace: Pace, voices: Voices | None = None, loudest: float = -float("inf")
    ) -> None:
        self._labels = labels
        delimiter = labels.blank if labels.delimiter is None else labels.delimiter
        self._no_speech = frozenset((labels.blank, delimiter))  # of the labels
        self._voices = voices
        self._rate, self._stride = labels.sampling_rate, labels.stride_samples
        self._before, self._chunk, self._after = (self._grid(part) for part in (pace.before, pace.chunk, pace.after))
        self._silence = self._grid(pace.endpoint) // self._stride  # frames
        self._each_frame = pace.each_frame
        self._longest = self._grid(pace.longest)
        # A sound without labels is kept until the silence after it ends it.
        self._unheard = min(self._grid(max(_UNHEARD_S, 2 * pace.endpoint)), self._longest)
        self._context = round(pace.context * self._rate / self._stride) * self._stride
        self._samples = np.zeros(0, dtype=np.float32)  # from `_offset` on
        self._offset = 0
        self._windowed = 0  # samples that windows have covered
        self._segment = 0  # first sample of the segment
        self._columns: list[int] = []  # of each frame of the segment: the label
        self._levels: list[float] = []  # and the level, in dB
        self._sounds: list[bool] = []  # and whether it is not quiet
        self.loudest = loudest  # so far

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

    def hear(self, window: Window, log_probs: NDArray[np.float32]) -> list[Segment]:
        """Take the frames of the next window; return the segments that end with them.

        Args:
            window: from `push` or `finish`, in order.
            log_probs: of the window, float32 `[frames, vocab]`.
        """
        first = (window.begin - window.start) // self._stride
        last = first + -(-(window.end - window.begin) // self._stride)
        columns = log_probs[first:last].argmax(axis=1).tolist()
        if self._voices:
            self._voices.hear(window.samples[self._voices.received - window.start :])
        ended = []
        for frame, column in enumerate(columns, first):
            is_sound = self._is_sound(window, frame * self._stride)
            self._sounds.append(is_sound)
            self._columns.append(column if is_sound else self._labels.blank)
            is_time = self._each_frame or frame + 1 == first + len(columns)
            if is_time and (segment := self._ended()) is not None:
                ended.append(segment)
        if self._voices:
            self._voices.forget(window.end)
        if not ended and not len(self._spoken()):
            self._forget(window.end - (self._unheard if any(self._sounds) else self._grid(_BEFORE_SOUND_S)))
        return ended

    def _ended(self) -> Segment | None:
        """Return the segment if it is over."""
        recent = self._columns[-self._silence :]
        if not self._no_speech.issuperset(recent) and len(self._columns) * self._stride < self._longest:
            return None
        spoken, sounds = self._spoken(), np.flatnonzero(self._sounds)
        if len(spoken):
            return self._end_of_speech(int(spoken[-1]) + 1)
        if len(sounds) and len(self._columns) - 1 - sounds[-1] >= self._silence:
            # The windows have no label for it, but the model may have one when it hears it as a whole.
            return self._end(int(sounds[-1]) + 1 + self._silence // 2)
        return None

    def _is_sound(self, window: Window, at: int) -> bool:
        """Return whether the stride from this sample of a window on is not quiet; keep its level."""
        level = _level(window.samples[at : at + self._stride])
        self._levels.append(level)
        if self._voices:
            return bool(self._voices.spans(window.start + at, window.start + at + self._stride))
        self.loudest = max(self.loudest, level)
        return level >= self._quiet_db

    @property
    def _quiet_db(self) -> float:
        return max(_QUIET_DB, self.loudest - _BELOW_LOUDEST_DB)

    def finish_segment(self) -> Segment | None:
        """Return the segment that was being said when the stream ended; None for silence."""
        return self._end(-(-(self._received - self._segment) // self._stride)) if any(self._sounds) else None

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

    @property
    def speech(self) -> int | None:
        """Return where the segment begins: half a second before its first sound; None if nobody is known to speak.

        Labels are speech, and what the voice detector takes for more than a click; any other sound is not.
        """
        if len(self._spoken()):
            return self._first()
        heard = runs(np.array(self._sounds, dtype=np.bool_)) if self._voices else []
        is_sure = any(length * self._stride >= _SURE_S * self._rate for _, length in heard)
        return self._first() if is_sure else None

    def _spoken(self) -> NDArray[np.int64]:
        """Return the frames of the segment that hold speech."""
        return np.flatnonzero(~np.isin(self._columns, list(self._no_speech)))

    def _end_of_speech(self, after: int) -> Segment | None:
        """Return the segment if it is over; the frames from `after` on have no labels."""
        frames, pauses = len(self._columns), self._pauses()
        if frames - after >= self._silence:
            first, length = self._longest_pause(pauses, after)
            stands_out = self._voices is not None or bool(pauses.any())
            # While there is sound, the model may have missed a word: wait for a pause, or for twice the time.
            if length >= self._silence // 2 or frames - after >= 2 * self._silence or not stands_out:
                return self._end(first + length // 2)
        if frames * self._stride >= self._longest:
            first, length = self._longest_pause(pauses, frames // 2)
            return self._end(first + length // 2)
        return None

    def _pauses(self) -> NDArray[np.bool_]:
        """Return whether each frame of the segment is in a pause; none is if speech does not stand out."""
        if self._voices:
            return ~np.array(self._sounds)
        return is_silent(np.maximum(self._levels, self._quiet_db))

    def _longest_pause(self, pauses: NDArray[np.bool_], after: int) -> tuple[int, int]:
        """Return the first frame and the length of the longest pause; without one, the quietest frame and 0."""
        found = runs(pauses[after:])
        if not found:
            width = round(_QUIETEST_OVER_S * self._rate / self._stride)
            return after + int(quietest(np.array(self._levels[after:]), width)), 0
        first, length = max(found, key=lambda run: run[1])
        return after + first, length

    def _first(self) -> int:
        """Return the first sample of the segment that belongs to its first sound."""
        sound = self._sounds.index(True)
        return max(self._segment, self._segment + sound * self._stride - self._grid(_BEFORE_SOUND_S))

    def _end(self, frames: int) -> Segment:
        begin = self._first()
        end = min(self._segment + frames * self._stride, self._received)
        # Together they are no longer than the longest segment, which the model can take.
        spare = max(0, self._longest - (end - begin)) // self._stride * self._stride
        first = max(self._offset, begin - min(self._context, spare))
        segment = Segment(self._samples[first - self._offset : end - self._offset].copy(), begin - first, begin)
        self._begin_later(frames)
        return segment

    def _forget(self, until: int) -> None:
        """Let a segment without speech begin later."""
        self._begin_later(min(max(0, until - self._segment) // self._stride, len(self._columns)))

    def _begin_later(self, frames: int) -> None:
        """Let the segment begin later; drop the samples that neither it nor the next window needs."""
        for each in (self._columns, self._levels, self._sounds):
            del each[:frames]
        self._segment += frames * self._stride
        needed = min(self._segment - self._context, self._windowed - self._before)
        offset = max(self._offset, needed // self._stride * self._stride)
        self._samples = self._samples[offset - self._offset :]
        self._offset = offset


def _level(samples: NDArray[np.float32]) -> float:
    """Return the level in dB of full scale."""
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean() + 1e-12)) if len(samples) else -np.inf
