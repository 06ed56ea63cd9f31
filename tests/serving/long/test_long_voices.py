"""Long recordings with the voice detector: cuts lie in its silences, and the model hears no window without speech."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from asr_serving.audio.container import PcmFormat, blocks
from asr_serving.audio.speech import RECOGNITION, Detector, Voices
from asr_serving.audio.waveform import Limits
from asr_serving.ctc.heard import Heard
from asr_serving.long.transcription import Models, transcribe
from asr_serving.long.windows import Cutter, Window
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import speech
from sounds import RATE, SOUNDS, music, rattle

from tests.serving.ctc.test_greedy import LABELS

STRIDE = LABELS.stride_samples
LIMITS = Limits(RATE, 400, 3600)
SENTENCE_S = len(speech()) / RATE


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


def mixed() -> np.ndarray:
    """Music, the sentence, a machine, the sentence four times, and music."""
    return np.concatenate((music(25), speech(), rattle(30), *[speech()] * 4, music(12)))


def cut(samples: np.ndarray, detector: Detector, pieces: list[int] | None = None) -> list[Window]:
    cutter = Cutter(RATE, STRIDE, 20.0, Voices(detector, RATE, RECOGNITION))
    places = np.cumsum(pieces) if pieces else []
    windows = [window for piece in np.split(samples, places) for window in cutter.push(piece)]
    return windows + list(cutter.finish())


def heard(window: Window) -> list[tuple[int, int]]:
    """Where a window has speech, in samples of the recording."""
    return [(window.start + start, window.start + end) for start, end in window.speech or ()]


def test_cuts_lie_outside_the_speech_and_windows_know_it(detector: Detector) -> None:
    samples = mixed()
    windows = cut(samples, detector)
    whole = detector.spans(samples, rules=RECOGNITION)
    assert [window.begin for window in windows] == [0, *(window.end for window in windows[:-1])]
    assert windows[-1].end == len(samples)
    for window in windows[:-1]:
        assert not any(start + 3200 < window.end < end - 3200 for start, end in whole)  # of which 3200 are padding
    joined = sorted(span for window in windows for span in heard(window))
    assert joined[0][0] == whole[0][0]
    assert joined[-1][1] == whole[-1][1]
    assert not any(window.speech for window in windows if window.end < 24 * RATE)


@settings(deadline=None, max_examples=6)
@given(st.lists(st.integers(1, 400_000), max_size=20))
def test_windows_do_not_depend_on_the_pieces(detector: Detector, pieces: list[int]) -> None:
    samples = mixed()
    facts = [
        [(w.start, w.begin, w.end, w.goes_on, w.speech) for w in cut(samples, detector, p)] for p in (None, pieces)
    ]
    assert facts[0] == facts[1]


def test_speech_without_silence_is_cut_where_windows_overlap(detector: Detector) -> None:
    sentence = speech()[4_000:78_000]  # nothing but speech
    windows = cut(np.concatenate([sentence] * 12), detector)
    assert any(window.goes_on for window in windows)
    assert max(len(window.samples) for window in windows) <= 21.5 * RATE
    assert all(window.speech for window in windows)


def transcribed(samples: np.ndarray, detector: Detector | None) -> tuple[str, float, float]:
    """The text, the seconds that the acoustic model heard, and the seconds done; the model hears an A everywhere."""
    asked: list[int] = []

    def acoustic(part: np.ndarray) -> np.ndarray:
        asked.append(len(part))
        log_probs = np.full((len(part) // STRIDE, len(LABELS.labels)), -9.0, np.float32)
        log_probs[:, 2] = -0.01
        return log_probs

    def decode(log_probs: np.ndarray) -> Heard:
        return Heard("A" if (log_probs.argmax(axis=1) == 2).any() else "", 0.5, [])

    with ThreadPoolExecutor(2) as executor:
        segments = list(
            transcribe(
                blocks(io.BytesIO(samples.tobytes()), PcmFormat("pcm_f32le", RATE, 1)), LIMITS, 20.0, LABELS,
                Models(acoustic, decode, executor, windows=2), detector=detector,
            )
        )  # fmt: skip
    return "".join(segment.heard.text for segment in segments), sum(asked) / RATE, segments[-1].seconds_done


@pytest.mark.parametrize("sound", SOUNDS)
def test_where_nobody_speaks_the_acoustic_model_is_not_asked(detector: Detector, sound: str) -> None:
    assert transcribed(SOUNDS[sound](70), detector) == ("", 0, 70)
    text, seconds, _ = transcribed(SOUNDS[sound](70), None)
    assert text
    assert seconds >= 70


def test_the_acoustic_model_hears_little_more_than_the_speech(detector: Detector) -> None:
    samples = mixed()
    text, seconds, done = transcribed(samples, detector)
    assert text.split() == ["A"] * 5
    assert 5 * SENTENCE_S <= seconds < 5 * SENTENCE_S + 25 < len(samples) / RATE
    assert done == pytest.approx(len(samples) / RATE)


def test_a_recording_of_one_frame_is_no_speech(detector: Detector) -> None:
    assert transcribed(np.zeros(400, np.float32), detector)[0] == ""


def test_memory_is_bounded_in_an_hour(detector: Detector) -> None:
    voices = Voices(detector, RATE, RECOGNITION)
    minute = np.concatenate((speech(), music(10), *[speech()] * 8))
    for _ in range(30):
        voices.hear(minute)
        voices.forget(voices.received - 20 * RATE)
        assert len(voices._spans) < 10
        assert len(voices._probabilities) < 25 * RATE / 512
