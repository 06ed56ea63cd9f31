"""Folders of recordings to transcribe, cut from the demo's samples."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from speech import RATE, equal, mixed, samples_of

MANIFEST = Path(__file__).parents[2] / "demo" / "samples" / "manifest.tsv"
SHORT_S = 0.5
DIFFERENT = 500  # short recordings; more of them are copies
STUDIO_RATE = 96_000  # Hz, of the large files, which have two channels of 24 bits
BYTES_A_SECOND = 2 * 3 * STUDIO_RATE


@dataclass(frozen=True)
class Job:
    """A folder of recordings."""

    folder: Path
    files: tuple[Path, ...]
    audio_s: float


def speech() -> NDArray[np.float32]:
    """Return the samples as one recording at 16 kHz."""
    return np.concatenate(samples_of(MANIFEST))


def of_all_lengths(folder: Path, seconds: float) -> Job:
    """Write recordings of 1 to 20 s, so many seconds together."""
    recordings = mixed(speech(), seconds)
    files = [_write(folder, number, one.file) for number, one in enumerate(recordings)]
    return Job(folder, tuple(files), sum(one.seconds for one in recordings))


def of_half_a_second(folder: Path, number: int) -> Job:
    """Write so many recordings of half a second."""
    pieces = itertools.cycle(equal(speech(), SHORT_S * min(number, DIFFERENT), SHORT_S))
    files = [_write(folder, index, next(pieces).file) for index in range(number)]
    return Job(folder, tuple(files), SHORT_S * number)


def of_many_megabytes(folder: Path, number: int, megabytes: float) -> Job:
    """Write so many WAV files of this size, each of which begins at another place of the speech."""
    folder.mkdir(parents=True)
    said = soxr.resample(speech(), RATE, STUDIO_RATE)
    length = int(megabytes * 1e6 / BYTES_A_SECOND * STUDIO_RATE)
    files = []
    for index in range(number):
        samples = np.resize(np.roll(said, -index * len(said) // number), length)
        files.append(folder / f"{index}.wav")
        soundfile.write(files[-1], np.stack([samples, samples], axis=1), STUDIO_RATE, subtype="PCM_24")
    return Job(folder, tuple(files), number * length / STUDIO_RATE)


def _write(folder: Path, number: int, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{number}.wav"
    file.write_bytes(content)
    return file
