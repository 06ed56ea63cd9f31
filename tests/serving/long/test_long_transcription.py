"""A recording of any length through models that are handed in."""

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from asr_contract.errors import AudioError
from asr_contract.labels import Labels
from asr_serving.audio.container import PcmFormat, blocks
from asr_serving.audio.waveform import Limits
from asr_serving.ctc.heard import Heard
from asr_serving.long.segments import Segment
from asr_serving.long.transcription import Models, transcribe

from tests.serving.ctc.test_greedy import LABELS
from tests.serving.long.test_long_windows import RATE, STRIDE, speech

LIMITS = Limits(RATE, 400, 600)
PCM = PcmFormat("pcm_f32le", RATE, 1)
PAUSES = [(4.0, 0.6), (9.0, 0.8), (16.0, 1.0)]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as running:
        yield running


def acoustic(samples: np.ndarray) -> np.ndarray:
    """As many frames as a model of wav2vec2's geometry has."""
    return np.zeros(((len(samples) - 400) // STRIDE + 1, len(LABELS.labels)), dtype=np.float32)


def decode(log_probs: np.ndarray) -> Heard:
    """One word, as long as the paragraph."""
    end = len(log_probs) * STRIDE / RATE
    return Heard("word", 0.5, [{"word": "word", "start": 0.0, "end": end, "confidence": 0.5}])


def run(
    data: bytes, executor: ThreadPoolExecutor, pcm: PcmFormat | None = PCM, limits: Limits = LIMITS,
    labels: Labels = LABELS, models: Models | None = None,
) -> Iterator[Segment]:  # fmt: skip
    models = models or Models(acoustic, decode, executor, windows=4)
    return transcribe(blocks(io.BytesIO(data), pcm), limits, 20.0, labels, models)


def test_segments_follow_each_other_from_start_to_end(executor: ThreadPoolExecutor) -> None:
    segments = list(run(speech(30, PAUSES).tobytes(), executor))
    assert [segment.heard.text for segment in segments] == ["word", " word", " word", " word"]
    assert segments[-1].seconds_done == 30
    times = [(word["start"], word["end"]) for segment in segments for word in segment.heard.words]
    assert [start for start, _ in times] == [0.0, *(segment.seconds_done for segment in segments[:-1])]
    assert all(start < end for start, end in times)


def test_where_labels_are_words_nothing_stands_between(executor: ThreadPoolExecutor) -> None:
    labels = replace(LABELS, delimiter=None)
    segments = run(speech(15, PAUSES).tobytes(), executor, labels=labels)
    assert "".join(segment.heard.text for segment in segments) == "wordwordword"


def test_another_sampling_rate_keeps_the_times(executor: ThreadPoolExecutor) -> None:
    samples = speech(30, PAUSES)
    ends = [segment.seconds_done for segment in run(samples.tobytes(), executor)]
    doubled = np.repeat(samples, 2).tobytes()
    resampled = [segment.seconds_done for segment in run(doubled, executor, PcmFormat("pcm_f32le", 2 * RATE, 1))]
    assert resampled == pytest.approx(ends, abs=0.1)


def test_no_more_windows_than_allowed_are_under_way(executor: ThreadPoolExecutor) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def slow(samples: np.ndarray) -> np.ndarray:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return acoustic(samples)

    segments = list(run(speech(300).tobytes(), executor, models=Models(slow, decode, executor, windows=3)))
    assert segments[-1].seconds_done == 300
    assert 1 < most <= 3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "AUDIO is empty"),
        (bytes(399 * 4), "audio is too short: 24.9 ms"),
        (np.full(RATE, np.nan, np.float32).tobytes(), "audio holds NaN"),
        (bytes(5), "not a whole number of 4-byte frames"),
    ],
)
def test_what_cannot_be_heard_is_refused(executor: ThreadPoolExecutor, data: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        list(run(data, executor))


def test_a_recording_beyond_the_limit_is_refused(executor: ThreadPoolExecutor) -> None:
    with pytest.raises(AudioError, match="audio is too long: more than 20 s; this model takes up to 20 s"):
        list(run(speech(30).tobytes(), executor, limits=replace(LIMITS, max_seconds=20)))


def test_a_model_that_fails_ends_it(executor: ThreadPoolExecutor) -> None:
    def fail(samples: np.ndarray) -> np.ndarray:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        list(run(speech(30).tobytes(), executor, models=Models(fail, decode, executor, windows=2)))


@pytest.mark.parametrize("after", [0, 1, 5])
def test_one_that_is_given_up_asks_the_models_nothing_more(executor: ThreadPoolExecutor, after: int) -> None:
    heard: list[int] = []
    asked = iter(range(1000))

    def note(samples: np.ndarray) -> np.ndarray:
        heard.append(len(samples))
        return acoustic(samples)

    models = Models(note, decode, executor, windows=2)
    silence = np.zeros(600 * RATE, np.float32).tobytes()  # no segment, between which somebody might look
    pieces = blocks(io.BytesIO(silence), PCM)
    segments = transcribe(pieces, LIMITS, 20.0, LABELS, models, lambda: next(asked) >= after)
    assert list(segments) == []
    executor.shutdown()
    assert len(heard) <= after
