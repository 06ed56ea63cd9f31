"""Recordings of real speech with their texts: telephone prompts of Debian, and clips in nine languages."""

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from real import packages
from real.downloads import fetch, unpack

RATE = 16_000  # Hz
SHORTEST_S, LONGEST_S = 1.5, 29.0
FEWEST_WORDS = 5
# What is not read out as it is written: digits, signs, remarks, and characters that were lost (a ? within the text).
_NOT_SAID = re.compile(r'[\[\]()\d*#/<"]|\?(?!$)')

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A recording and what is said in it."""

    path: Path
    language: str  # code
    text: str

    def samples(self) -> Samples:
        """Return the recording `[samples]` at 16 kHz, mono."""
        samples, rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        return np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), np.float32)


def prompts(language: str, output: Path, count: int) -> list[Recording]:
    """Return telephone prompts (8 kHz, one human voice) with their published texts, evenly from all that fit.

    Left out are texts with digits or signs, which are not read out as they are written, those of under five words, and
    recordings under 1.5 or above 29 seconds, which do not fit into one window of a Whisper.
    """
    sounds, texts = (unpack(fetch(package), output / package.name) for package in packages.PROMPTS[language])
    (folder,) = (sounds / "usr/share/asterisk/sounds").iterdir()
    (listed,) = texts.glob("usr/share/doc/*/core-sounds-*.txt.gz")
    fit = []
    for line in gzip.decompress(listed.read_bytes()).decode("utf-8-sig", errors="replace").splitlines():
        name, _, text = (part.strip() for part in line.partition(":"))
        path = folder / f"{name}.wav"
        if line.startswith(";") or _NOT_SAID.search(text) or len(text.split()) < FEWEST_WORDS or not path.is_file():
            continue
        if SHORTEST_S <= soundfile.info(path).duration <= LONGEST_S:
            fit.append(Recording(path, language, text))
    fit.sort(key=lambda recording: recording.path)
    return fit[:: max(1, len(fit) // count)][:count]


def clips(output: Path) -> list[Recording]:
    """Return the clips: 16 kHz, three in each of nine languages."""
    folder = unpack(fetch(packages.CLIPS), output) / "pytest_audioeval" / "samples" / "audio"
    return [
        Recording(path, path.parent.name, path.with_suffix(".txt").read_text(encoding="utf-8").strip())
        for path in sorted(folder.glob("*/*.wav"))
    ]


def joined(recordings: Sequence[Recording], seconds: float, pause_s: float = 0.3) -> Samples:
    """Return recordings one after the other, with pauses of silence, until `seconds` are full `[samples]`, 16 kHz.

    Raises:
        ValueError: they do not last so long.
    """
    pause = np.zeros(int(pause_s * RATE), np.float32)
    parts: list[Samples] = []
    while sum(map(len, parts)) < seconds * RATE:
        if len(parts) == 2 * len(recordings):
            raise ValueError(
                f"{len(recordings)} recordings last {sum(map(len, parts)) / RATE:.0f} s; needs {seconds:g}"
            )
        parts += [recordings[len(parts) // 2].samples(), pause]
    return np.concatenate(parts)


def write_manifest(recordings: Sequence[Recording], file: Path) -> Path:
    """Write a manifest for `triton-asr evaluate`, and return it."""
    rows = "".join(f"{recording.path}\t{recording.text}\n" for recording in recordings)
    file.write_text(f"audio\ttext\n{rows}", encoding="utf-8")
    return file
