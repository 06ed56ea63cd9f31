"""Long recordings, cut into windows and their frames put together again: nothing is lost or doubled."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from asr_serving.long.stitching import Paragraph, Stitcher
from asr_serving.long.windows import Cutter, Window
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.ctc.test_greedy import LABELS

RATE, STRIDE = 16_000, 320


def speech(seconds: float, pauses: Sequence[tuple[float, float]] = (), seed: int = 0) -> np.ndarray:
    """Noise that comes and goes as syllables do, silent in the pauses (start, length; in seconds)."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    samples = rng.normal(0, 0.1, len(time)) * (1.2 + np.sin(2 * np.pi * 4 * time))
    for start, length in pauses:
        samples[int(start * RATE) : int((start + length) * RATE)] *= 0.001
    return samples.astype(np.float32)


def cut(samples: np.ndarray, pieces: list[int] | None = None, longest_s: float = 20.0) -> list[Window]:
    cutter = Cutter(RATE, STRIDE, longest_s)
    places = np.cumsum(pieces)[:-1] if pieces else []
    windows = [window for piece in np.split(samples, places) for window in cutter.push(piece)]
    return windows + list(cutter.finish())


def test_a_short_recording_is_one_window() -> None:
    samples = speech(15)
    (window,) = cut(samples)
    assert (window.start, window.begin, window.end, window.goes_on) == (0, 0, len(samples), False)
    np.testing.assert_array_equal(window.samples, samples)


def test_cuts_are_in_every_pause() -> None:
    pauses = [(3.0, 0.6), (7.0, 0.2), (14.0, 0.8), (14.9, 0.6), (29.0, 0.6)]
    windows = cut(speech(45, pauses))
    ends = [window.end / RATE for window in windows[:-1]]
    assert [round(end, 1) for end in ends] == [3.3, 14.4, 29.3]  # 7.0 is short, and 14.9 too near to 14.4
    assert not any(window.goes_on for window in windows)
    assert [window.start for window in windows[1:]] == [window.end for window in windows[:-1]]


def test_a_short_silence_will_do_where_there_is_no_pause() -> None:
    windows = cut(speech(30, [(5.0, 0.26), (13.0, 0.26)]))
    assert [(round(window.end / RATE, 1), window.goes_on) for window in windows] == [(13.1, False), (30.0, False)]


def test_without_silence_windows_overlap() -> None:
    windows = cut(speech(70))
    assert all(window.goes_on for window in windows[:-1])
    for before, after in itertools.pairwise(windows):
        assert after.begin == before.end
        assert after.begin - after.start == RATE
        assert before.start + len(before.samples) - before.end == RATE


@settings(deadline=None, max_examples=30)
@given(
    st.floats(1, 60),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 3)), max_size=6),
    st.lists(st.integers(1, 200_000), max_size=30),
)
def test_windows_cover_all_once_and_do_not_depend_on_the_pieces(
    seconds: float, pauses: list[tuple[float, float]], pieces: list[int]
) -> None:
    samples = speech(seconds, pauses)
    windows = cut(samples)
    assert [(w.start, w.begin, w.end, w.goes_on) for w in cut(samples, pieces)] == [
        (w.start, w.begin, w.end, w.goes_on) for w in windows
    ]
    assert [window.begin for window in windows] == [0, *(window.end for window in windows[:-1])]
    assert windows[-1].end == len(samples)
    for window in windows:
        assert window.start % STRIDE == window.begin % STRIDE == 0
        assert len(window.samples) <= 21.5 * RATE
        np.testing.assert_array_equal(window.samples, samples[window.start : window.start + len(window.samples)])


def numbered(window: Window) -> np.ndarray:
    """Frames that tell their place in the recording, as a model of wav2vec2's geometry would number them."""
    frames = (len(window.samples) - 400) // STRIDE + 1
    log_probs = np.full((frames, len(LABELS.labels)), -5.0, dtype=np.float32)
    log_probs[:, 2] = window.start // STRIDE + np.arange(frames)
    return log_probs


def stitched(windows: list[Window], max_seconds: float = 120.0) -> Iterator[Paragraph]:
    stitcher = Stitcher(LABELS, max_seconds)
    for window in windows:
        yield from stitcher.add(window, numbered(window))


@pytest.mark.parametrize("max_seconds", [30.0, 120.0])
@pytest.mark.parametrize("pauses", [[], [(13.0, 0.5), (70.0, 1.0)]])
def test_frames_are_in_their_places_and_none_is_doubled(pauses: list[tuple[float, float]], max_seconds: float) -> None:
    paragraphs = list(stitched(cut(speech(150, pauses)), max_seconds))
    for paragraph in paragraphs:
        places = paragraph.first_frame + np.arange(len(paragraph.log_probs))
        np.testing.assert_array_equal(paragraph.log_probs[:, 2], places)
        assert len(paragraph.log_probs) <= (max_seconds + 22) * RATE / STRIDE
    for before, after in itertools.pairwise(paragraphs):
        gap = after.first_frame - before.first_frame - len(before.log_probs)
        assert gap in (0, 1)  # one frame has no samples of its own where a window ends in silence
        assert after.first_frame * STRIDE == before.end
    assert paragraphs[-1].end == 150 * RATE


def test_a_paragraph_without_silence_ends_between_words() -> None:
    stitcher = Stitcher(LABELS, 10.0)
    log_probs = np.log(np.full((1000, len(LABELS.labels)), 0.01, dtype=np.float32))
    log_probs[700:720, LABELS.delimiter] = np.log(0.96)
    window = Window(np.zeros(1000 * STRIDE, np.float32), 0, 0, 900 * STRIDE, True)
    (paragraph,) = stitcher.add(window, log_probs)
    assert 700 < len(paragraph.log_probs) < 720
