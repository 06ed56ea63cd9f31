"""Recordings for measurements: cut from the samples, and the same in each run."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from asr_contract import manifest as manifests
from numpy.typing import NDArray

RATE = 16_000
SHORTEST_S, LONGEST_S = 1, 20
SHORT_ONES_LAST = 4


@dataclass(frozen=True)
class Recording:
    """One recording, decoded and as a file: each peer takes one of the two."""

    samples: NDArray[np.float32]  # [samples] at 16 kHz
    file: bytes  # these samples as a WAV file of 16 bits

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / RATE


def from_samples(samples: NDArray[np.float32]) -> Recording:
    """Return a recording of samples `[samples]` at 16 kHz, rounded to 16 bits, so that all peers hear the same."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="PCM_16")
    file = buffer.getvalue()
    return Recording(soundfile.read(io.BytesIO(file), dtype="float32")[0], file)


def samples_of(manifest: Path) -> list[NDArray[np.float32]]:
    """Return the manifest's recordings, decoded, mono, at 16 kHz, without those that libsndfile cannot read."""
    files = [entry.path for entry in manifests.read(manifest)]
    decoded = [soundfile.read(file, dtype="float32", always_2d=True) for file in files if file.suffix != ".m4a"]
    return [soxr.resample(samples.mean(axis=1), rate, RATE) for samples, rate in decoded]


def mixed(speech: NDArray[np.float32], seconds: float) -> list[Recording]:
    """Return pieces of 1 to 20 s, about `seconds` in all: evenly by logarithm, 6.3 s on average, in random order.

    The shortest come last, so that workers which share the pieces end at the same time.
    """
    mean_s = (LONGEST_S - SHORTEST_S) / math.log(LONGEST_S / SHORTEST_S)
    lengths = np.geomspace(SHORTEST_S, LONGEST_S, max(SHORT_ONES_LAST + 1, round(seconds / mean_s)))
    chance = np.random.default_rng(0)
    order = [*chance.permutation(lengths[SHORT_ONES_LAST:]), *lengths[:SHORT_ONES_LAST][::-1]]
    return _cut(speech, order, chance)


def equal(speech: NDArray[np.float32], seconds: float, each_s: float) -> list[Recording]:
    """Return pieces of `each_s` seconds, `seconds` of audio in all."""
    return _cut(speech, [each_s] * max(1, round(seconds / each_s)), np.random.default_rng(1))


def _cut(speech: NDArray[np.float32], lengths: list[float], chance: np.random.Generator) -> list[Recording]:
    recordings = []
    for seconds in lengths:
        length = int(seconds * RATE)
        start = int(chance.integers(0, len(speech) - length))
        recordings.append(from_samples(speech[start : start + length]))
    return recordings
