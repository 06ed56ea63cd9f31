"""Human speech for the measurements: telephone prompts of `tests/support/real`, alone and joined, as WAV files.

All contenders hear the same files: 16 kHz, mono, 16 bits.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from speech import RATE, from_samples

Samples = NDArray[np.float32]
PAUSE_S = 0.3  # between joined prompts, as in the tests with real models
ROOM = 1e-4  # standard deviation of the noise in a pause: no room is quite silent


@dataclass(frozen=True, eq=False)
class Prompt:
    """A recording of one voice, and what is said in it. Each is equal to itself alone."""

    samples: Samples  # [samples] at 16 kHz
    text: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / RATE


@dataclass(frozen=True)
class Joined:
    """Prompts one after the other."""

    samples: Samples
    prompts: tuple[Prompt, ...]
    starts_s: tuple[float, ...]  # of the prompts

    @property
    def text(self) -> str:
        """Return all texts."""
        return " ".join(prompt.text for prompt in self.prompts)


@dataclass(frozen=True)
class Clip:
    """A file and what is said in it."""

    path: Path
    text: str
    seconds: float


def read_prompts(workplace: Path) -> list[Prompt]:
    """Return all English prompts that fit into a window of a Whisper; they are downloaded at first.

    Raises:
        real.downloads.Unavailable: they cannot be had.
    """
    from real import speech

    found = speech.prompts("en", workplace / "prompts", 1_000_000)
    return [Prompt(from_samples(recording.samples()).samples, recording.text) for recording in found]


def spread_by_length(prompts: Sequence[Prompt], count: int) -> list[Prompt]:
    """Return so many prompts whose lengths lie evenly by logarithm, from the shortest to the longest."""
    left = sorted(prompts, key=lambda prompt: prompt.seconds)
    chosen = []
    for seconds in np.geomspace(left[0].seconds, left[-1].seconds, count)[::-1]:
        nearest = min(left, key=lambda prompt: abs(prompt.seconds - seconds))
        left.remove(nearest)
        chosen.append(nearest)
    return chosen[::-1]


def join(
    prompts: Sequence[Prompt], seconds: float, seed: str, pauses_s: tuple[float, float] = (PAUSE_S, PAUSE_S)
) -> Joined:
    """Join prompts in random order until they last so long; when all were heard, they come again in another order."""
    rng, noise = random.Random(seed), np.random.default_rng(0)
    parts: list[Samples] = []
    used: list[Prompt] = []
    starts_s, at = [], 0
    order: list[Prompt] = []
    while at < seconds * RATE:
        order = order or rng.sample(list(prompts), len(prompts))
        prompt = order.pop()
        pause = noise.normal(0, ROOM, int(rng.uniform(*pauses_s) * RATE)).astype(np.float32)
        used.append(prompt)
        starts_s.append((at + len(pause)) / RATE)
        parts += [pause, prompt.samples]
        at += len(pause) + len(prompt.samples)
    return Joined(np.concatenate(parts), tuple(used), tuple(starts_s))


def write(samples: Samples, text: str, path: Path) -> Clip:
    """Write a WAV file."""
    recording = from_samples(samples)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(recording.file)
    return Clip(path, text, recording.seconds)


def write_all(prompts: Sequence[Prompt], folder: Path) -> list[Clip]:
    """Write a WAV file of each prompt."""
    return [write(prompt.samples, prompt.text, folder / f"{index}.wav") for index, prompt in enumerate(prompts)]


def write_manifest(clips: Sequence[Clip], path: Path) -> Path:
    """Write a manifest of files and texts; return its path."""
    rows = "".join(f"{clip.path}\t{clip.text}\n" for clip in clips)
    path.write_text(f"audio\ttext\n{rows}", encoding="utf-8")
    return path
