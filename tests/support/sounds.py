"""Sounds in which nobody speaks: float32 `[samples]` at 16 kHz, the same in every run."""

import numpy as np

RATE = 16_000
_LOUD = 0.3
_NOTE_S = 0.25
_SCALE = (0, 2, 4, 5, 7, 9, 11, 12)  # semitones above A3


def silence(seconds: float) -> np.ndarray:
    """Digital silence."""
    return np.zeros(int(seconds * RATE), np.float32)


def noise(seconds: float, level: float = 0.05) -> np.ndarray:
    """White noise with this standard deviation."""
    return np.random.default_rng(0).normal(0, level, int(seconds * RATE)).astype(np.float32)


def rattle(seconds: float) -> np.ndarray:
    """White noise that comes and goes eight times a second, as a machine makes it."""
    gate = np.sin(2 * np.pi * 8 * np.arange(int(seconds * RATE)) / RATE) > 0
    return (noise(seconds, 0.1) * gate).astype(np.float32)


def music(seconds: float) -> np.ndarray:
    """A tune on plucked strings, with a drum on every note."""
    random = np.random.default_rng(0)
    samples = np.zeros(int(seconds * RATE) + RATE)
    time = np.arange(int(0.6 * RATE)) / RATE
    for start in range(0, int(seconds * RATE), int(_NOTE_S * RATE)):
        pitch = 220 * 2 ** (random.choice(_SCALE) / 12)
        strings = sum(np.sin(2 * np.pi * pitch * k * time) / k**1.8 for k in range(1, 9)) * np.exp(-6 * time)
        samples[start : start + len(time)] += strings + random.normal(0, 1, len(time)) * np.exp(-50 * time)
    samples = samples[: int(seconds * RATE)]
    return (_LOUD * samples / np.abs(samples).max()).astype(np.float32)


SOUNDS = {"silence": silence, "noise": noise, "rattle": rattle, "music": music}
