"""Recordings of stated lengths, made from others: whole ones one after the other, and the last one cut.

The server hears speech, which it may decode more slowly than noise. These recordings have no references: the reference
of a recording that is cut would be wrong.
"""

import io
import math
import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_client import InvalidAudio, audio_files

from asr_loadtest.errors import InvalidProfile

if TYPE_CHECKING:
    import numpy as np

SAMPLING_RATE = 16_000  # Hz
EXAMPLES = "'uniform:1-20', '5', or '2:50,5:30,15:20' (seconds:weight)"
MIN_S = 0.1
MAX_S = 3600.0


@dataclass(frozen=True)
class Uniform:
    """Lengths that are spread evenly over a range."""

    low_s: float
    high_s: float

    def lengths(self, number: int) -> list[float]:
        """Return the middles of `number` equal parts of the range, whose mean is exact for any number; seconds."""
        width = (self.high_s - self.low_s) / number
        return [_to_sample(self.low_s + width * (index + 0.5)) for index in range(number)]


@dataclass(frozen=True)
class Weighted:
    """A few lengths, each with its share."""

    weights: dict[float, float]  # seconds -> weight

    def lengths(self, number: int) -> list[float]:
        """Return `number` lengths in seconds, shared out by largest remainder.

        Raises:
            InvalidProfile: there are more lengths than recordings.
        """
        if number < len(self.weights):
            raise InvalidProfile(
                f"{number} recordings cannot have {len(self.weights)} lengths; needs as many recordings as lengths"
            )
        # Each length comes once; weights share the rest out.
        rest = number - len(self.weights)
        total = sum(self.weights.values())
        quotas = {seconds: max(0.0, number * weight / total - 1) for seconds, weight in self.weights.items()}
        scale = rest / sum(quotas.values()) if rest else 0.0
        shares = {seconds: quota * scale for seconds, quota in quotas.items()}
        counts = {seconds: 1 + math.floor(share) for seconds, share in shares.items()}
        by_remainder = sorted(shares, key=lambda seconds: math.floor(shares[seconds]) - shares[seconds])
        for seconds in by_remainder[: number - sum(counts.values())]:
            counts[seconds] += 1
        return [_to_sample(seconds) for seconds in sorted(counts) for _ in range(counts[seconds])]


def parse(mix: str) -> Uniform | Weighted:
    """Return the mix that a text describes.

    Raises:
        InvalidProfile: the text is no mix, or a length is out of range.
    """
    try:
        if mix.startswith("uniform:"):
            low, high = map(float, mix.removeprefix("uniform:").split("-"))
            if low > high:
                raise ValueError
            parsed: Uniform | Weighted = Uniform(low, high)
            lengths = [low, high]
        else:
            pairs = [part.split(":") for part in mix.split(",")]
            if len(pairs) == 1 and len(pairs[0]) == 1:
                pairs = [[mix, "1"]]
            weights = {float(seconds): float(weight) for seconds, weight in pairs}
            if len(weights) < len(pairs) or not all(0 < weight < math.inf for weight in weights.values()):
                raise ValueError
            parsed, lengths = Weighted(weights), list(weights)
    except ValueError as error:
        raise InvalidProfile(f"mix is {mix!r}; needs {EXAMPLES}") from error
    if not all(MIN_S <= seconds <= MAX_S for seconds in lengths):
        raise InvalidProfile(f"mix is {mix!r}; needs lengths from {MIN_S:g} to {MAX_S:g} s")
    return parsed


def make(sources: Sequence[Path], lengths: Sequence[float], seed: int) -> list[bytes]:
    """Return a WAV file (16 kHz, mono, 16 bits) of exactly each length, in seconds, made of the sources' audio.

    Sources that FFmpeg does not read are left out, because any speech will do.

    Raises:
        InvalidProfile: none of the sources can be used.
    """
    import numpy as np

    tracks = [track for track in map(_read, sources) if track is not None and len(track)]
    if not tracks:
        raise InvalidProfile(
            f"no mix can be made of {', '.join(path.name for path in sources)}; needs an audio file with samples, of a "
            "format that FFmpeg reads (WAV, FLAC, OGG, Opus, MP3, M4A …)"
        )
    chance = random.Random(seed)
    files = []
    for seconds in lengths:
        wanted = round(seconds * SAMPLING_RATE)
        parts: list[np.ndarray[Any, Any]] = []
        while (missing := wanted - sum(map(len, parts))) > 0:
            parts.append(chance.choice(tracks)[:missing])
        files.append(_wav(np.concatenate(parts)))
    return files


def _to_sample(seconds: float) -> float:
    return round(seconds * SAMPLING_RATE) / SAMPLING_RATE


def _read(path: Path) -> "np.ndarray[Any, Any] | None":
    """Return the samples of a file as int16, mono, at 16 kHz; None for a format that FFmpeg does not read.

    Raises:
        InvalidProfile: the file cannot be opened.
    """
    import numpy as np
    import soxr

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidProfile(f"cannot read {path}: {error.strerror or error}") from error
    try:
        sound = audio_files.read(io.BytesIO(data), path.name)
        mono = np.concatenate([block.mean(axis=1, dtype=np.float32) for block in sound.blocks])
    except InvalidAudio:
        return None
    resampled = soxr.resample(mono, sound.sampling_rate, SAMPLING_RATE)
    samples_16: np.ndarray[Any, Any] = np.clip(resampled, -32768, 32767).astype("<i2")
    return samples_16


def _wav(samples: "np.ndarray[Any, Any]") -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLING_RATE)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()
