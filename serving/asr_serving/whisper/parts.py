"""Division of a recording into parts of speech: between two parts, nobody speaks.

A voice detector says where speech is. Speech with short pauses stays together up to the length of a window, as in
WhisperX (Bain et al. 2023, section 2.2, "cut & merge"): the model hears whole sentences, and no silence to invent words
for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_serving.audio.speech import RECOGNITION, Detector, Rules, Span

MAX_PAUSE_S = 2.0  # a longer pause is left out; in a shorter one the model hears how sentences belong together
_HOP_S = 0.02
_QUIETEST_OVER_S = 0.1  # of speech without a pause, the place for a cut


@dataclass(frozen=True)
class Part:
    """A part of a recording in which somebody speaks."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    start: int  # place of its first sample in the recording

    @property
    def end(self) -> int:
        """Return the place after its last sample."""
        return self.start + len(self.samples)


class Grouper:
    """Groups spans of speech, which come in order.

    Args:
        longest: samples of a part; a single span may be longer.
        max_pause: samples between the spans of a part.
    """

    def __init__(self, longest: int, max_pause: int) -> None:
        self._longest, self.max_pause = longest, max_pause
        self.held: Span | None = None  # the part that may still grow

    def push(self, span: Span) -> Iterator[Span]:
        """Yield the part that ends before this span, if one does."""
        if self.held is None:
            self.held = span
            return
        start, end = self.held
        if span[0] - end > self.max_pause or span[1] - start > self._longest:
            yield self.held
            self.held = span
        else:
            self.held = start, span[1]

    def finish(self) -> Iterator[Span]:
        """Yield the last part, if there is one."""
        if self.held is not None:
            yield self.held
        self.held = None


def group(spans: Iterable[Span], rate: int, longest_s: float) -> list[Span]:
    """Return the parts of a recording at `rate` Hz, of which all spans are known."""
    grouper = Grouper(round(longest_s * rate), round(MAX_PAUSE_S * rate))
    parts = [part for span in spans for part in grouper.push(span)]
    return [*parts, *grouper.finish()]


class PartCutter:
    """Cuts a recording that comes in pieces into parts; they do not depend on how it was cut into pieces.

    Speech without a pause is cut where it is quietest, before it is longer than a part may be. So memory is bounded by
    two parts and a piece.

    Args:
        detector: finds speech.
        rate: of the recording, in Hz.
        longest_s: seconds of a part.
        max_pause_s: seconds between the spans of a part.
        rules: of the detector.
    """

    def __init__(
        self,
        detector: Detector,
        rate: int,
        longest_s: float,
        max_pause_s: float = MAX_PAUSE_S,
        rules: Rules = RECOGNITION,
    ) -> None:
        self._stream = detector.stream(rate, rules)
        self._rate, self._longest = rate, round(longest_s * rate)
        self._grouper = Grouper(self._longest, round(max_pause_s * rate))
        self._samples = np.zeros(0, np.float32)  # from `_offset` on
        self._offset = 0
        self._cut = 0  # speech before this sample belongs to parts that are complete

    @property
    def received(self) -> int:
        """Return how many samples came so far."""
        return self._offset + len(self._samples)

    def push(self, samples: NDArray[np.float32]) -> Iterator[Part]:
        """Yield the parts that are complete with further samples, float32 `[samples]`."""
        step = self._rate  # so that the parts do not depend on the pieces, and little is held
        for first in range(0, len(samples), step):
            piece = samples[first : first + step]
            self._samples = np.concatenate((self._samples, piece))
            yield from self._take(self._stream.push(piece))
            yield from self._end_pause()
            yield from self._cut_speech()
            self._drop()

    def finish(self) -> Iterator[Part]:
        """Yield the remaining parts at the end of the recording."""
        yield from self._take(self._stream.finish())
        for span in self._grouper.finish():
            yield self._part(span)

    def speaking(self) -> Part | None:
        """Return the speech that goes on; None if nobody speaks."""
        ongoing = self._ongoing()
        return None if ongoing is None else self._part(ongoing)

    def began(self) -> int | None:
        """Return where the part begins that goes on or is held; None before it is known that it is no mere click."""
        ongoing = self._ongoing() if self._stream.is_sure else None
        begins = [span[0] for span in (self._grouper.held, ongoing) if span is not None]
        return begins[0] if begins else None

    def _take(self, spans: list[Span]) -> Iterator[Part]:
        for start, end in spans:
            begin = max(start, self._cut)
            if begin < end:
                for part in self._grouper.push((begin, end)):
                    yield self._part(part)

    def _end_pause(self) -> Iterator[Part]:
        """Yield the held part if the pause after it is too long already."""
        held, ongoing = self._grouper.held, self._ongoing()
        until = self._stream.settled if ongoing is None else ongoing[0]
        if held is not None and until - held[1] > self._grouper.max_pause:
            for span in self._grouper.finish():
                yield self._part(span)

    def _cut_speech(self) -> Iterator[Part]:
        """Yield the beginning of speech that is too long already."""
        while (ongoing := self._ongoing()) is not None and self.received - ongoing[0] >= self._longest:
            for span in self._grouper.finish():
                yield self._part(span)
            place = self._quietest(ongoing[0] + 2 * self._longest // 3, ongoing[0] + self._longest)
            yield self._part((ongoing[0], place))
            self._cut = place

    def _ongoing(self) -> Span | None:
        """Return the speech that has not ended, or has ended a moment ago."""
        pending = self._stream.pending
        start = max(pending[0][0], self._cut) if pending else self.received
        return (start, self.received) if start < self.received else None

    def _quietest(self, first: int, last: int) -> int:
        hop = round(_HOP_S * self._rate)
        held = self._samples[first - self._offset : last - self._offset]
        power = np.square(held[: len(held) // hop * hop].reshape(-1, hop), dtype=np.float64).mean(axis=1)
        width = round(_QUIETEST_OVER_S / _HOP_S)
        means = np.convolve(power, np.ones(width) / width, mode="valid")
        return first + round(hop * (int(means.argmin()) + width / 2))

    def _part(self, span: Span) -> Part:
        start, end = span
        return Part(self._samples[start - self._offset : end - self._offset].copy(), start)

    def _drop(self) -> None:
        """Drop the samples that no part needs."""
        needed = [max(self._stream.settled, self._cut)]
        needed += [held[0] for held in (self._grouper.held, self._ongoing()) if held is not None]
        offset = max(self._offset, min(needed))
        self._samples = self._samples[offset - self._offset :]
        self._offset = offset
