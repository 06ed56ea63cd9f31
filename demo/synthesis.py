"""Speech from espeak-ng, through its C library in this process, with the time of every word.

To start the command-line program for each clip would cost more than the clip itself. The library makes an hour of
speech in seconds, and also reports where each word begins. `augment` makes recordings of varied quality out of it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

__all__ = [
    "ACCENTS",
    "HELD_OUT_VOICES",
    "SAMPLE_RATE",
    "TRAINING_VOICES",
    "Audio",
    "Augmentation",
    "EspeakMissing",
    "Speech",
    "Voice",
    "WordTime",
    "augment",
    "espeak_library",
    "synthesise",
]

Audio = npt.NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz, the rate of the model
ACCENTS = {"en-us": "en-us", "en-gb": "en", "en-gb-scotland": "en-gb-scotland"}  # ours: espeak-ng's own name
TRAINING_VARIANTS = (
    *("m1", "m2", "m3", "m5", "m7", "f2", "f3", "f5"),
    *("Andy", "Annie", "Denis", "Gene", "Lee", "Michael", "adam", "belinda", "edward", "steph"),
)
# Never heard in training; only evaluation and the sample recordings use them.
HELD_OUT_VARIANTS = ("m4", "m6", "f1", "f4", "Alex", "linda")


@dataclass(frozen=True)
class Voice:
    accent: str  # one of `ACCENTS`
    variant: str  # an espeak-ng voice variant such as "f2"
    rate_wpm: int = 165  # espeak's speaking rate, words a minute
    pitch: int = 50  # 0-99, espeak's base pitch around the variant's own

    @property
    def name(self) -> str:
        return f"{ACCENTS[self.accent]}+{self.variant}"


TRAINING_VOICES = tuple(Voice(accent, variant) for accent in ACCENTS for variant in TRAINING_VARIANTS)
HELD_OUT_VOICES = tuple(Voice(accent, variant) for accent in ACCENTS for variant in HELD_OUT_VARIANTS)


@dataclass(frozen=True)
class WordTime:
    index: int  # of the word in the text
    word: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class _RawEvent:
    kind: int  # _WORD or _PHONEME
    position: int  # of the word in the text, in characters from 1
    time_ms: float  # from the first sample of espeak's output
    phoneme: str  # espeak's name for it; pauses begin with "_"


@dataclass(frozen=True)
class Speech:
    samples: Audio  # [samples] at `SAMPLE_RATE`, in -1 to 1
    words: tuple[WordTime, ...]


class EspeakMissing(RuntimeError):
    """libespeak-ng is not installed, or it lacks voice data or the voice."""


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_LIST_TERMINATED, _WORD, _PHONEME = 0, 1, 7
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_PHONEME_EVENTS, _DONT_EXIT = 0x0001, 0x8000
_RATE, _PITCH = 1, 3
_CHARS_UTF8, _POSITION_CHARACTER = 1, 1


class _Espeak:
    """The one synthesiser of this process: espeak-ng keeps global state, so it is not thread-safe."""

    def __init__(self) -> None:
        self._library = espeak_library()
        self.rate = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _DONT_EXIT
        )  # Hz
        if self.rate <= 0:
            raise EspeakMissing("espeak-ng found no voice data: install the apt package espeak-ng-data")
        self._callback = _Callback(self._receive)  # kept alive here: the library holds only a pointer
        self._library.espeak_SetSynthCallback(self._callback)
        self._blocks: list[npt.NDArray[np.int16]] = []
        self._events: list[_RawEvent] = []

    def _receive(self, wav: Any, count: int, events: Any) -> int:
        if wav and count > 0:
            self._blocks.append(np.ctypeslib.as_array(wav, shape=(count,)).copy())
        index = 0
        while events[index].type != _LIST_TERMINATED:
            event = events[index]
            if event.type in (_WORD, _PHONEME):
                phoneme = event.id.string.decode(errors="replace") if event.type == _PHONEME else ""
                self._events.append(_RawEvent(event.type, event.text_position, event.audio_position_ms, phoneme))
            index += 1
        return 0

    def speak(self, text: str, voice: Voice) -> tuple[npt.NDArray[np.int16], list[_RawEvent]]:
        """Return the samples of a text at `self.rate`, and its raw events."""
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise EspeakMissing(f"espeak-ng has no voice {voice.name!r}; `espeak-ng --voices` lists those it has")
        self._library.espeak_SetParameter(_RATE, voice.rate_wpm, 0)
        self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        self._blocks, self._events = [], []
        data = text.encode() + b"\0"
        status = self._library.espeak_Synth(data, len(data), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None)
        if status != 0 or not self._blocks:
            raise RuntimeError(f"espeak-ng could not speak {text!r} (status {status})")
        return np.concatenate(self._blocks), self._events


def espeak_library() -> ctypes.CDLL:
    """Load libespeak-ng, or raise `EspeakMissing` with what to install."""
    for name in ("libespeak-ng.so.1", ctypes.util.find_library("espeak-ng")):
        try:
            if name:
                return ctypes.CDLL(name)
        except OSError:
            continue
    raise EspeakMissing("libespeak-ng was not found: install it with `apt-get install espeak-ng`")


@lru_cache(maxsize=1)
def _espeak() -> _Espeak:
    return _Espeak()


def synthesise(text: str, voice: Voice, sample_rate: int = SAMPLE_RATE) -> Speech:
    """Speak lower-case words separated by single spaces at `sample_rate` (Hz); cut off silence at both ends."""
    espeak = _espeak()
    raw, events = espeak.speak(text, voice)
    samples = soxr.resample(raw.astype(np.float32) / 32768.0, espeak.rate, sample_rate).astype(np.float32)
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    first, last = (int(loud[0]), int(loud[-1]) + 1) if loud.size else (0, len(samples))
    words = _word_times(text, events, shift_s=-first / sample_rate, duration_s=(last - first) / sample_rate)
    return Speech(samples[first:last], words)


def _word_times(text: str, events: list[_RawEvent], shift_s: float, duration_s: float) -> tuple[WordTime, ...]:
    """Return the times of the words that espeak reports one by one.

    A word ends at the first pause after it, or where the next one starts. espeak speaks and reports some neighbours
    ("of the") as one word; the result leaves out both.
    """
    starts = _word_starts(events)
    pauses = [event.time_ms for event in events if event.kind == _PHONEME and event.phoneme.startswith("_")]
    end_ms = (duration_s - shift_s) * 1000
    times: list[WordTime] = []
    position = 1
    words = text.split()
    for index, word in enumerate(words):
        start_ms = starts.get(position)
        position += len(word) + 1
        following_ms = end_ms if index + 1 == len(words) else starts.get(position)
        if start_ms is None or following_ms is None:
            continue
        stop_ms = min([pause for pause in pauses if start_ms < pause < following_ms], default=following_ms)
        start_s = max(start_ms / 1000 + shift_s, 0.0)
        times.append(WordTime(index, word, start_s, min(stop_ms / 1000 + shift_s, duration_s)))
    return tuple(times)


def _word_starts(events: list[_RawEvent]) -> dict[int, float]:
    """Return the start of each word in ms, by its position in the text.

    A WORD event marks the time at which espeak prepares the first sound. That is right for a stop, whose closure
    belongs to it. But the event may also mark the onset of the last sound of the word before ("john is": the n and "is"
    at 2282 ms, the i at 2337 ms). Then the first sound itself is the start.
    """
    starts: dict[int, float] = {}
    previous_ms, late = -1.0, False
    for event in events:
        if event.kind == _WORD:
            starts[event.position] = event.time_ms
            late = event.time_ms == previous_ms
            continue
        if late and event.position in starts:
            starts[event.position], late = event.time_ms, False
        previous_ms = event.time_ms
    return starts


@dataclass(frozen=True)
class Augmentation:
    """The changes that a clip may undergo on its way to the model."""

    noise: float = 0.5  # share of clips with background noise
    narrow: float = 0.2  # share through a telephone's 8 kHz
    low_pass: float = 0.15  # share band-limited as by a lossy codec
    speed: float = 0.5  # share played slightly slow or fast, which moves pitch and formants with it
    max_silence_s: float = 1.0  # before and after, each


def _coloured_noise(rng: np.random.Generator, count: int) -> Audio:
    """Return noise of unit variance: white, or low-passed like room noise."""
    noise = rng.standard_normal(count).astype(np.float32)
    if rng.random() < 0.5:
        kernel = np.ones(int(rng.integers(2, 12)), np.float32)
        noise = np.convolve(noise, kernel, "same").astype(np.float32)
    deviation = float(noise.std())
    return noise / deviation if deviation > 0 else noise


def _band_limit(samples: Audio, rate: int) -> Audio:
    """Resample to another rate (Hz) and back."""
    narrow = soxr.resample(samples, SAMPLE_RATE, rate, quality="LQ")
    return np.asarray(soxr.resample(narrow, rate, SAMPLE_RATE, quality="LQ"), np.float32)


def augment(samples: Audio, rng: np.random.Generator, how: Augmentation) -> Audio:
    """Return one varied recording of a clip, float32 [samples] at `SAMPLE_RATE`."""
    if rng.random() < how.speed:
        samples = soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE * float(rng.uniform(0.9, 1.1)), quality="LQ")
    before, after = (int(SAMPLE_RATE * how.max_silence_s * rng.random() ** 2) for _ in range(2))
    samples = np.pad(samples, (before, after)).astype(np.float32)
    kind = rng.random()
    if kind < how.narrow:
        samples = _band_limit(samples, 8_000)
    elif kind < how.narrow + how.low_pass:
        samples = _band_limit(samples, int(rng.integers(9_000, 14_000)))
    if rng.random() < how.noise:
        snr_db = float(rng.uniform(12, 45))
        level = float(samples.std()) * 10 ** (-snr_db / 20)
        samples = samples + level * _coloured_noise(rng, len(samples))
    return np.asarray(samples * np.float32(10 ** rng.uniform(-1.0, 0.0)), np.float32)
