"""The voice detector: where in a recording somebody speaks.

The rules that make spans of probabilities are those of `get_speech_timestamps` in the package silero-vad 6.2.3, without
its limit on the length of a span.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from asr_serving.audio.silero import FRAME, RATE, Frames, Silero

Span = tuple[int, int]  # the first sample, and the sample after the last
_HISTORY_S = 1.0  # by how much `Voices` keeps more than it must, so that it need not copy for each piece


@dataclass(frozen=True)
class Rules:
    """How probabilities become spans; the defaults are Silero's."""

    threshold: float = 0.5  # speech begins at a frame that is as likely
    hysteresis: float = 0.15  # speech ends at a frame that is less likely than `threshold` by more than this
    min_speech_ms: float = 250.0  # what is not longer is dropped
    min_silence_ms: float = 100.0  # what is shorter does not end a span
    pad_ms: float = 30.0  # that a span gets on either side; two neighbours share a gap that is too short for both

    @property
    def ends_below(self) -> float:
        """Return the probability below which speech ends."""
        return max(self.threshold - self.hysteresis, 0.01)


# For recognition, nothing of a word may be lost: a pause within a sentence is kept, the first and last sounds of words
# are quieter than the detector hears, and a word may be as short as a letter (decision 64 has the figures).
RECOGNITION = Rules(min_speech_ms=100.0, min_silence_ms=500.0, pad_ms=200.0)


def silenced(samples: NDArray[np.float32], speech: Sequence[Span]) -> NDArray[np.float32]:
    """Return samples, float32 `[samples]`, with digital silence outside the speech; times stay what they were.

    A model that hears music or noise beside speech normalises by both, and mishears the speech (decision 64).
    """
    silent = np.zeros_like(samples)
    for start, end in speech:
        silent[start:end] = samples[start:end]
    return silent


class Detector:
    """Finds speech; many recordings can share it, in several threads."""

    def __init__(self, network: Silero) -> None:
        self._network = network

    @staticmethod
    def load(path: Path | None = None) -> "Detector":
        """Load the network.

        Args:
            path: of its graph; None for the one that comes with this package.

        Raises:
            ParameterError: the package onnxruntime is missing.
            RuntimeError: the file is missing or no such graph.
        """
        return Detector(Silero(path))

    def spans(self, samples: NDArray[np.float32], rate: int = RATE, rules: Rules | None = None) -> list[Span]:
        """Return where speech is in a whole recording, in order and without overlaps.

        Args:
            samples: float32 `[samples]`, mono, within ±1.
            rate: sampling rate in Hz.
            rules: how probabilities become spans; None for Silero's.

        Returns:
            The spans in samples at `rate`; none for a recording without speech.
        """
        stream = self.stream(rate, rules)
        return [*stream.push(samples), *stream.finish()]

    def stream(self, rate: int = RATE, rules: Rules | None = None) -> "SpeechStream":
        """Return the state for a recording that comes in pieces; see `spans`."""
        return SpeechStream(Frames(self._network), rate, rules or Rules())


class SpeechStream:
    """Finds the speech of one recording that comes in pieces; the spans do not depend on how it was cut.

    Its memory is bounded by one piece, however long the recording is.
    """

    def __init__(self, frames: Frames, rate: int, rules: Rules) -> None:
        self._frames = frames
        self._rate = rate
        self._finder = _Finder(rules)
        self._received = 0
        self.probabilities = np.zeros(0, np.float32)  # of the frames that the last call completed
        self._resampler = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")

    def push(self, samples: NDArray[np.float32]) -> list[Span]:
        """Return the spans that are complete with further samples, float32 `[samples]` at the rate of the recording."""
        self._received += len(samples)
        self.probabilities = self._frames.push(self._resampled(samples, False))
        return [self._here(span) for span in self._finder.push(self.probabilities)]

    def finish(self) -> list[Span]:
        """Return the remaining spans at the end of the recording."""
        last = self._frames.push(self._resampled(np.zeros(0, np.float32), True))
        self.probabilities = np.concatenate((last, self._frames.finish()))
        found = list(self._finder.push(self.probabilities))
        found += self._finder.finish(-(-self._received * RATE // self._rate))
        return [self._here(span) for span in found]

    @property
    def settled(self) -> int:
        """Return the sample before which all is known: spans that are still to come begin there or later."""
        return self._here((self._finder.settled, 0))[0]

    @property
    def pending(self) -> list[Span]:
        """Return the spans after `settled`, as far as they are known.

        Speech that goes on ends with what was received. It may still be dropped, if it turns out to be too short.
        """
        return [self._here(span) for span in self._finder.pending]

    @property
    def is_sure(self) -> bool:
        """Return whether `pending` holds speech that is long enough already."""
        return self._finder.is_sure

    def _resampled(self, samples: NDArray[np.float32], is_last: bool) -> NDArray[np.float32]:
        if self._resampler is None:
            return samples
        resampled: NDArray[np.float32] = self._resampler.resample_chunk(
            np.ascontiguousarray(samples, np.float32), last=is_last
        )
        return resampled

    def _here(self, span: Span) -> Span:
        start, end = (min(max(0, round(place * self._rate / RATE)), self._received) for place in span)
        return start, end


class Voices:
    """What is known of the speech in the last part of a recording that comes in pieces.

    Args:
        detector: finds it.
        rate: of the recording, in Hz.
        rules: of the spans; None for Silero's.
    """

    def __init__(self, detector: Detector, rate: int, rules: Rules | None = None) -> None:
        self._stream = detector.stream(rate, rules)
        self._frame = FRAME * rate / RATE  # samples
        self._spans: list[Span] = []
        self._probabilities = np.zeros(0, np.float32)  # from the frame `_first` on
        self._first = 0
        self._history = round(_HISTORY_S * RATE / FRAME)  # frames
        self.received = 0  # samples

    def hear(self, samples: NDArray[np.float32]) -> None:
        """Take further samples, float32 `[samples]`."""
        self.received += len(samples)
        self._add(self._stream.push(samples))

    def finish(self) -> None:
        """Take the end of the recording."""
        self._add(self._stream.finish())

    def _add(self, spans: list[Span]) -> None:
        self._spans += spans
        self._probabilities = np.concatenate((self._probabilities, self._stream.probabilities))

    def probabilities(self, places: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return how likely speech is at places in the recording, in samples; what is not known yet is as the last."""
        if not len(self._probabilities):
            return np.zeros(len(places), np.float32)
        frames = (places // self._frame).astype(np.int64) - self._first
        return self._probabilities[np.clip(frames, 0, len(self._probabilities) - 1)]

    def spans(self, begin: int, end: int) -> list[Span]:
        """Return the speech in a part of the recording, in samples from `begin` on.

        Speech that goes on, or was not long enough yet, counts.
        """
        known = [*self._spans, *self._stream.pending]
        return [(max(begin, a) - begin, min(end, b) - begin) for a, b in known if a < end and b > begin]

    def forget(self, before: int) -> None:
        """Forget what was before this sample."""
        self._spans = [span for span in self._spans if span[1] > before]
        frames = int(before // self._frame) - self._first
        if frames > self._history:
            self._probabilities = self._probabilities[frames:].copy()
            self._first += frames


class _Finder:
    """The rules, frame by frame; places are samples at 16 kHz."""

    def __init__(self, rules: Rules) -> None:
        self._threshold = rules.threshold
        self._end_below = rules.ends_below
        samples_per_ms = RATE / 1000
        self._min_speech = rules.min_speech_ms * samples_per_ms
        self._min_silence = rules.min_silence_ms * samples_per_ms
        self._pad = int(rules.pad_ms * samples_per_ms)
        self._place = 0  # of the next frame
        self._start: int | None = None  # of the speech that goes on, without padding
        self._quiet: int | None = None  # since when it may have ended
        self._held: Span | None = None  # the last span; its end has no padding yet, because that needs the next one

    def push(self, probabilities: NDArray[np.float32]) -> Iterator[Span]:
        """Yield the spans that further frames complete."""
        for probability in probabilities.tolist():
            yield from self._frame(probability)
            self._place += FRAME
        if self._held and self._place >= self._held[1] + 2 * self._pad and not self._is_near(self._held[1]):
            yield self._held[0], self._held[1] + self._pad
            self._held = None

    def finish(self, samples: int) -> Iterator[Span]:
        """Yield the remaining spans of a recording of so many samples."""
        if self._start is not None and samples - self._start > self._min_speech:
            yield from self._keep(self._start, samples)
        if self._held:
            yield self._held[0], min(samples, self._held[1] + self._pad)
        self._start = self._held = None

    @property
    def settled(self) -> int:
        if self._held:
            return self._held[0]
        return self._place - self._pad if self._start is None else self._start - self._pad

    @property
    def pending(self) -> list[Span]:
        held = [(self._held[0], self._held[1] + self._pad)] if self._held else []
        return held if self._start is None else [*held, (self._start - self._pad, self._place)]

    @property
    def is_sure(self) -> bool:
        if self._held or self._start is None:
            return self._held is not None
        end = self._place if self._quiet is None else self._quiet
        return end - self._start > self._min_speech

    def _frame(self, probability: float) -> Iterator[Span]:
        if probability >= self._threshold:
            self._quiet = None
            if self._start is None:
                self._start = self._place
        elif probability < self._end_below and self._start is not None:
            if self._quiet is None:
                self._quiet = self._place
            if self._place - self._quiet >= self._min_silence:
                start, end = self._start, self._quiet
                self._start = self._quiet = None
                if end - start > self._min_speech:
                    yield from self._keep(start, end)

    def _keep(self, start: int, end: int) -> Iterator[Span]:
        padding = self._pad
        if self._held:
            gap = start - self._held[1]
            padding = min(padding, gap // 2)
            yield self._held[0], self._held[1] + padding
        self._held = max(0, start - padding), end

    def _is_near(self, end: int) -> bool:
        """Return whether speech goes on that shares the gap after `end`."""
        return self._start is not None and self._start < end + 2 * self._pad
