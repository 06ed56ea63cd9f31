"""Long recordings of the demo's speech, for tests of the gateway."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLES = Path(__file__).parents[2] / "demo" / "samples"
RATE = 16_000
_PAUSE_S = 0.6


@cache
def _speech() -> np.ndarray:
    """The samples one after the other, with pauses, as float32 `[samples]`."""
    parts = []
    for file in sorted(SAMPLES.iterdir()):
        if file.suffix in (".wav", ".flac", ".ogg"):
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
            parts += [soxr.resample(samples.mean(axis=1), rate, RATE), np.zeros(int(_PAUSE_S * RATE), np.float32)]
    return np.concatenate(parts)


def minutes_of(minutes: float) -> bytes:
    """Speech of so many minutes, as FLAC."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.resize(_speech(), int(60 * minutes * RATE)), RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
