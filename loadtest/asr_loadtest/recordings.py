"""The recordings that a load test sends: in memory, and encoded as they travel, before any clock starts.

They are the files of a folder or manifest, or recordings of stated lengths that are made from these (`mix`). A load
test has to state the lengths, because they decide how a server batches.
"""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_client import InvalidAudio, audio_files
from asr_client import manifest as manifests

from asr_loadtest import mix as mixes
from asr_loadtest.errors import InvalidProfile
from asr_loadtest.results import Profile

# Upper ends of the length classes, in seconds.
CLASS_EDGES_S = (2, 5, 10, 20)
UNKNOWN_LENGTH = "unknown length"
SUFFIXES = frozenset(
    (".aac", ".amr", ".flac", ".m4a", ".mka", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav", ".webm", ".wma")
)
DEFAULT_MIXED_RECORDINGS = 50


@dataclass(frozen=True)
class Recording:
    """One recording, ready to be sent."""

    name: str  # of the file, or of the recording that was made
    audio: bytes  # an audio file
    seconds: float | None  # None: of a format that only the server may be able to read
    text: str | None = None  # what is said, where known

    @property
    def length_class(self) -> str:
        """Return the range of lengths that holds this one, such as "2-5 s" (2 s is in it, 5 s is not)."""
        if self.seconds is None:
            return UNKNOWN_LENGTH
        low = 0
        for high in CLASS_EDGES_S:
            if self.seconds < high:
                return f"{low}-{high} s"
            low = high
        return f"{low}+ s"


def load(source: Path, *, mix: str | None = None, number: int | None = None, seed: int = 0) -> list[Recording]:
    """Return the recordings of a load test.

    Args:
        source: a folder of audio files, or a manifest (`asr_contract.manifest`), which may hold references.
        mix: lengths of recordings to make from the source, such as "uniform:1-20", "5" or "2:50,5:30,15:20"
            (`mix.parse`); None: take the files as they are.
        number: how many recordings; by default 50 of a mix, else all.
        seed: of the choice and of the mix; the same seed gives the same recordings.

    Raises:
        InvalidProfile: there are no recordings, one cannot be read, or the mix is not valid.
        InvalidManifest: the manifest is malformed.
    """
    if number is not None and number < 1:
        raise InvalidProfile(f"{number} recordings are asked for; needs 1 or more")
    files = _files(source)
    if mix is None:
        return [_as_it_is(path, text) for path, text in _choose(files, number, seed)]
    seconds = mixes.parse(mix).lengths(DEFAULT_MIXED_RECORDINGS if number is None else number)
    made = mixes.make([path for path, _ in files], seconds, seed)
    return [
        Recording(f"{index:04}-{length:g}s.wav", audio, length)
        for index, (length, audio) in enumerate(zip(seconds, made, strict=True))
    ]


def profile(source: str, recordings: Sequence[Recording]) -> Profile:
    """Return the figures of recordings for the report; a recording of unknown length counts as 0 s."""
    lengths = [recording.seconds or 0.0 for recording in recordings]
    classes = [f"{low}-{high} s" for low, high in zip((0, *CLASS_EDGES_S), CLASS_EDGES_S, strict=False)]
    classes += [f"{CLASS_EDGES_S[-1]}+ s", UNKNOWN_LENGTH]
    counts = {name: sum(recording.length_class == name for recording in recordings) for name in classes}
    return Profile(
        source=source,
        recordings=len(recordings),
        audio_s=sum(lengths),
        mean_s=sum(lengths) / len(lengths),
        min_s=min(lengths),
        max_s=max(lengths),
        classes={name: count for name, count in counts.items() if count},
    )


def in_rounds(number: int, recordings: int, seed: int) -> list[int]:
    """Return which recording (0 to `recordings` - 1) each of `number` requests carries.

    Each round holds every recording once, in an order of its own. So all parts of a step offer the same audio.
    """
    import numpy as np

    chance = np.random.default_rng([seed, recordings])
    rounds = range(-(-number // recordings))
    return [int(index) for _ in rounds for index in chance.permutation(recordings)][:number]


def _files(source: Path) -> list[tuple[Path, str | None]]:
    """Return path and reference of every recording of a folder or manifest."""
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InvalidProfile(f"no audio files in {source}; needs some of {', '.join(sorted(SUFFIXES))}")
        return [(path, None) for path in paths]
    if not source.exists():
        raise InvalidProfile(f"{source} does not exist; needs a folder of audio files, or a manifest")
    return [(entry.path, entry.text) for entry in manifests.read(source)]


def _choose(files: list[tuple[Path, str | None]], number: int | None, seed: int) -> Sequence[tuple[Path, str | None]]:
    if number is None:
        return files
    if number > len(files):
        raise InvalidProfile(
            f"{number} recordings are asked for, and the source has {len(files)}; a mix makes more of them"
        )
    return random.Random(seed).sample(files, number)


def _as_it_is(path: Path, text: str | None) -> Recording:
    try:
        audio = path.read_bytes()
    except OSError as error:
        raise InvalidProfile(f"cannot read {path}: {error.strerror or error}") from error
    if not audio:
        raise InvalidProfile(f"{path} is empty: 0 bytes")
    return Recording(path.name, audio, _seconds(audio), text)


def _seconds(audio: bytes) -> float | None:
    """Return the length by its samples, as headers may be wrong; None for a format that FFmpeg does not read."""
    try:
        sound = audio_files.read(io.BytesIO(audio), "the recording")
        return sum(map(len, sound.blocks)) / sound.sampling_rate
    except InvalidAudio:
        return None
