"""Division of a recording of any length into windows that the acoustic model can take.

The cutter cuts at every pause, so that the model gets about a sentence, as in short recordings. If there is no pause
for long, it cuts at a shorter silence. If there is no silence either, two windows overlap, and the frames of each count
up to the middle of the overlap: at that place, both windows have heard what comes before and after.

The energy says what is silence, or a voice detector: with it, music and noise are silence, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_serving.audio.loudness import is_silent, quietest, runs
from asr_serving.audio.speech import RECOGNITION, Span, Voices

_PAUSE_S = 0.3
_SILENCE_S = 0.2
_SHORTEST_S = 1.0  # the shortest window that ends in a pause
_HOP_S = 0.02
_OVERLAP_S = 1.0  # on either side of a cut in speech
_QUIETEST_OVER_S = 0.1


@dataclass(frozen=True)
class Window:
    """A piece of a recording, and which of its frames count."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    start: int  # place of its first sample in the recording
    begin: int  # the first sample whose frames count
    end: int  # the sample after the last
    goes_on: bool  # the speech at `end` continues in the next window
    speech: tuple[Span, ...] | None = None  # where it is, in samples from `start` on; None: nobody has asked


class Cutter:
    """Cuts a recording into windows; the windows do not depend on the sizes of the pieces.

    Args:
        sampling_rate: Hz.
        stride: samples between two frames of the acoustic model; windows start at multiples of it.
        longest_s: seconds; with an overlap, windows are a little longer.
        voices: the voice detector's view of the recording; None: the energy says what is silence.
    """

    def __init__(self, sampling_rate: int, stride: int, longest_s: float, voices: Voices | None = None) -> None:
        self._rate = sampling_rate
        self._stride = stride
        self._hop = int(_HOP_S * sampling_rate)
        self._longest = self._grid(longest_s)
        self._overlap = self._grid(min(_OVERLAP_S, longest_s / 8))
        self._voices = voices
        self._pieces: list[NDArray[np.float32]] = []
        self._held = 0  # samples in the pieces
        self._start = 0  # place of their first sample
        self._begin = 0

    def push(self, samples: NDArray[np.float32]) -> Iterator[Window]:
        """Yield the windows that are complete with further samples, float32 `[samples]`."""
        # A little at a time, because every cut copies the samples that are held.
        for start in range(0, len(samples), self._longest):
            piece = samples[start : start + self._longest]
            self._pieces.append(piece)
            self._held += len(piece)
            while self._held >= self._longest + self._overlap:
                self._hear(self._longest + self._overlap)
                held = self._joined()[: self._longest]
                pause = self._pause(held)
                yield self._cut(pause, True) if pause else self._cut(*self._best_place(held))

    def finish(self) -> Iterator[Window]:
        """Yield the windows of the remaining samples."""
        if self._voices:
            self._hear(self._held)
            self._voices.finish()
        while self._held and (pause := self._pause(self._joined())):
            yield self._cut(pause, True)
        if self._held:
            held = self._joined()
            yield Window(held, self._start, self._begin, self._start + len(held), False, self._speech(len(held)))

    def _cut(self, place: int, is_silent: bool) -> Window:
        held = self._joined()
        last = place if is_silent else place + self._overlap
        following = place if is_silent else place - self._overlap
        window = Window(held[:last], self._start, self._begin, self._start + place, not is_silent, self._speech(last))
        # A copy, because a view would keep all held samples in memory.
        self._pieces, self._held = [held[following:].copy()], len(held) - following
        self._start, self._begin = self._start + following, self._start + place
        if self._voices:
            self._voices.forget(self._start)
        return window

    def _hear(self, length: int) -> None:
        """Let the detector hear the first `length` of the held samples: no more, or pieces would make a difference."""
        if self._voices:
            heard = self._voices.received - self._start
            self._voices.hear(self._joined()[heard : max(heard, length)])

    def _speech(self, length: int) -> tuple[Span, ...] | None:
        return None if self._voices is None else tuple(self._voices.spans(self._start, self._start + length))

    def _joined(self) -> NDArray[np.float32]:
        if len(self._pieces) > 1:
            self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0]

    def _pause(self, held: NDArray[np.float32]) -> int | None:
        """Return the middle of the first pause that is not too near to either end; None if there is none."""
        if len(held) < 2 * _SHORTEST_S * self._rate:
            return None
        _, silent = self._levels(held)
        for first, length in runs(silent):
            middle = self._on_grid(self._hop * (first + length / 2))
            if length * _HOP_S >= _PAUSE_S and _SHORTEST_S * self._rate <= min(middle, len(held) - middle):
                return middle
        return None

    def _best_place(self, held: NDArray[np.float32]) -> tuple[int, bool]:
        """Return where to cut in the second half, and whether there is silence."""
        levels, silent = self._levels(held)
        half = len(levels) // 2
        first, length = max(runs(silent[half:]), key=lambda run: run[1], default=(0, 0))
        if length * _HOP_S >= _SILENCE_S:
            return self._on_grid(self._hop * (half + first + length / 2)), True
        return self._on_grid(self._hop * (half + quietest(levels[half:], round(_QUIETEST_OVER_S / _HOP_S)))), False

    def _levels(self, held: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the level of each hop, in any unit, and whether it is silent."""
        if self._voices is None:
            levels = _levels(held, self._hop)
            return levels, is_silent(levels)
        middles = self._start + (np.arange(len(held) // self._hop) + 0.5) * self._hop
        probabilities = self._voices.probabilities(middles).astype(np.float64)
        return probabilities, probabilities < RECOGNITION.ends_below

    def _grid(self, seconds: float) -> int:
        return max(self._stride, self._on_grid(seconds * self._rate))

    def _on_grid(self, samples: float) -> int:
        return int(samples) // self._stride * self._stride


def _levels(samples: NDArray[np.float32], hop: int) -> NDArray[np.float64]:
    """Return the level of each hop, in dB."""
    hops = samples[: len(samples) // hop * hop].reshape(-1, hop)
    # einsum makes no copy of the samples, which are a whole window.
    power = np.einsum("ij,ij->i", hops, hops).astype(np.float64) / hop
    levels: NDArray[np.float64] = 10 * np.log10(power + 1e-10)
    return levels
