"""One live stream: windows on a grid, frames taken once, segments that end in silence."""

import itertools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from asr_serving.live.listening import Listener, Pace, Segment, Window
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.ctc.test_greedy import LABELS

RATE, STRIDE = 16_000, 320
PACE = Pace(before=2.0, chunk=0.32, after=0.16, endpoint=0.8, longest=10.0, context=0.0)
BLANK, DELIMITER, A, B = 0, 1, 2, 3


def said(*parts: tuple[float, str]) -> tuple[np.ndarray, np.ndarray]:
    """Samples and the label of each frame: parts of so many seconds that say "A", "B" or "|".

    " " is silence, "~" is a quiet background, "?" is as loud as speech but has no label.
    """
    names = [label for length, label in parts for _ in _frames(length)]
    columns = [BLANK if label in " ~?" else LABELS.labels.index(label) for label in names]
    loud = np.repeat([{" ": 0.0, "~": 0.01}.get(label, 0.1) for label in names], STRIDE)
    samples = loud * np.random.default_rng(0).normal(size=len(loud))
    return samples.astype(np.float32), np.array(columns)


def _frames(seconds: float) -> range:
    return range(round(seconds * RATE / STRIDE))


def model(window: Window, columns: np.ndarray) -> np.ndarray:
    """What a model of wav2vec2's geometry says of a window."""
    frames = max(1, (len(window.samples) - 400) // STRIDE + 1)
    first = window.start // STRIDE
    log_probs = np.full((frames, len(LABELS.labels)), -10.0, dtype=np.float32)
    heard = columns[first : first + frames]
    log_probs[np.arange(len(heard)), heard] = 0
    return log_probs


def listen(
    samples: np.ndarray, columns: np.ndarray, pieces: list[int] | None = None, pace: Pace = PACE
) -> tuple[list[Segment], list[str]]:
    """The segments, and what was being said after each piece."""
    listener = Listener(LABELS, pace)
    places = np.minimum(np.cumsum(pieces), len(samples)) if pieces else []
    segments, texts = [], []
    for piece in np.split(samples, places):
        segments += hear(listener, listener.push(piece), columns)
        texts.append(listener.text()[0])
    segments += hear(listener, listener.finish(), columns)
    last = listener.finish_segment()
    return segments if last is None else [*segments, last], texts


def hear(listener: Listener, windows: Iterable[Window], columns: np.ndarray) -> list[Segment]:
    return [segment for window in list(windows) for segment in listener.hear(window, model(window, columns))]


def test_a_silence_ends_a_segment() -> None:
    samples, columns = said((1.0, " "), (1.0, "A"), (1.5, " "), (0.5, "B"), (2.0, " "))
    segments, _ = listen(samples, columns)
    # Half a second of the silence before it, half of the silence that was heard when it ended.
    assert np.array(times(segments)) == pytest.approx(np.array([(0.5, 2.45), (3.0, 4.45)]), abs=0.1)
    np.testing.assert_array_equal(segments[0].samples, samples[segments[0].start :][: len(segments[0].samples)])


def times(segments: list[Segment]) -> list[tuple[float, float]]:
    return [(segment.start / RATE, segment.end / RATE) for segment in segments]


@pytest.mark.parametrize("room", [" ", "~"])
def test_a_segment_begins_with_its_sound(room: str) -> None:
    samples, columns = said((4.0, room), (1.5, "?"), (1.0, "A"), (2.0, room))
    segments, _ = listen(samples, columns)
    # The background at 20 dB below speech is sound: what is kept of it before the first label is bounded.
    assert segments[0].start / RATE == pytest.approx(3.5 if room == " " else 5.5 - 5.0, abs=0.4)


@pytest.mark.parametrize("room", [" ", "~"])
def test_a_segment_does_not_end_while_there_is_sound(room: str) -> None:
    samples, columns = said((0.5, "A"), (1.0, "?"), (0.5, "B"), (0.3, "?"), (1.5, room), (0.5, "A"), (0.2, room))
    segments, _ = listen(samples, columns)
    assert len(segments) == 2
    assert 2.3 + 0.2 < segments[0].end / RATE < 3.8 - 0.2  # in the pause, although the last label is at 2.0 s
    assert segments[0].end <= segments[1].start


def test_what_the_windows_did_not_hear_is_heard_as_a_whole() -> None:
    samples, columns = said((1.0, " "), (0.6, "?"), (3.0, " "), (0.6, "?"), (0.2, " "))
    segments, _ = listen(samples, columns)
    assert np.array(times(segments)) == pytest.approx(np.array([(0.5, 2.0), (4.1, 5.4)]), abs=0.03)


def test_sound_that_goes_on_without_labels_ends_a_segment_late() -> None:
    samples, columns = said((0.3, "~"), (1.0, "A"), (6.0, "?"))
    listener = Listener(LABELS, PACE)
    heard = [(window.end / RATE, listener.hear(window, model(window, columns))) for window in listener.push(samples)]
    assert [end for end, segments in heard if segments] == [pytest.approx(1.3 + 1.6, abs=0.33)]


def test_without_pauses_in_the_level_labels_decide() -> None:
    samples, columns = said((1.0, "A"), (6.0, "?"))
    listener = Listener(LABELS, PACE)
    heard = [(window.end / RATE, listener.hear(window, model(window, columns))) for window in listener.push(samples)]
    assert [end for end, segments in heard if segments] == [pytest.approx(1.0 + 0.8, abs=0.33)]


@pytest.mark.parametrize(("before_s", "expected_s"), [(1.0, 0.5), (6.0, 3.0)])
def test_a_segment_has_the_seconds_before_it(before_s: float, expected_s: float) -> None:
    samples, columns = said((before_s, " "), (1.0, "A"), (2.0, " "))
    (segment,), _ = listen(samples, columns, pace=replace(PACE, context=3.0))
    assert segment.start / RATE == pytest.approx(before_s - 0.5, abs=0.03)
    assert segment.context / RATE == pytest.approx(expected_s, abs=0.03)
    assert segment.context % STRIDE == 0
    np.testing.assert_array_equal(segment.samples, samples[segment.start - segment.context : segment.end])


def test_with_its_context_a_segment_is_no_longer_than_the_longest() -> None:
    samples, columns = said((4.0, " "), (8.0, "A"), (2.0, " "))
    (segment,), _ = listen(samples, columns, pace=replace(PACE, context=3.0))
    assert 0 < segment.context < 2 * RATE
    assert len(segment.samples) <= 10 * RATE


def test_memory_is_bounded_in_noise_without_labels() -> None:
    listener = Listener(LABELS, replace(PACE, context=3.0))
    samples, columns = said((60.0, "?"))
    for second in np.split(samples, 60):
        for window in list(listener.push(second)):
            assert listener.hear(window, model(window, columns)) == []
        assert len(listener._samples) < 10 * RATE
        assert len(listener._columns) == len(listener._levels) == len(listener._sounds)
        assert len(listener._columns) * STRIDE < 6 * RATE


def test_what_is_being_said_grows() -> None:
    samples, columns = said((0.5, " "), (0.3, "A"), (0.2, "|"), (0.4, "B"), (0.3, "A"), (1.0, " "))
    _, texts = listen(samples, columns, pieces=[RATE // 10] * 26)
    assert [text for text, _ in itertools.groupby(texts)] == ["", "A", "A B", "A BA"]
    listener = Listener(LABELS, PACE)
    for window in listener.push(samples[: int(1.5 * RATE)]):
        listener.hear(window, model(window, columns))
    assert listener.text() == ("A B", 1)  # the second word may go on


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0.1, 4), st.sampled_from(["A", "B", "|", " "])), min_size=1, max_size=12),
    st.lists(st.integers(1, 30_000), max_size=20),
)
def test_the_pieces_make_no_difference(parts: list[tuple[float, str]], pieces: list[int]) -> None:
    samples, columns = said(*parts)
    whole, _ = listen(samples, columns)
    cut, _ = listen(samples, columns, pieces)
    assert [(segment.start, len(segment.samples)) for segment in cut] == [
        (segment.start, len(segment.samples)) for segment in whole
    ]
    ends = [segment.start + len(segment.samples) for segment in whole]
    assert all(a <= segment.start for a, segment in zip(ends, whole[1:], strict=False))


def test_windows_have_one_shape_and_bounded_cost() -> None:
    samples, _ = said((30.0, "A"))
    windows = list(Listener(LABELS, PACE).push(samples))
    lengths = [len(window.samples) / RATE for window in windows]
    assert lengths[-1] == pytest.approx(2.48)
    assert set(lengths[8:]) == {lengths[-1]}
    assert [window.begin for window in windows[1:]] == [window.end for window in windows[:-1]]


def test_speech_without_a_pause_is_cut_in_its_longest_gap() -> None:
    samples, columns = said((7.0, "A"), (0.4, "|"), (20.0, "B"))
    segments, _ = listen(samples, columns)
    lengths = [len(segment.samples) / RATE for segment in segments]
    assert max(lengths) <= 10.5
    assert sum(lengths) == pytest.approx(27.4, abs=0.1)


def test_what_is_quiet_is_silence_whatever_the_model_says() -> None:
    samples, columns = said((1.0, "A"), (3.0, "B"))
    samples[RATE:] *= 1e-4
    segments, _ = listen(samples, columns)
    assert len(segments) == 1
    assert len(segments[0].samples) / RATE == pytest.approx(1.45, abs=0.1)


def test_memory_is_bounded_in_silence() -> None:
    listener = Listener(LABELS, PACE)
    columns = np.zeros(100_000, dtype=np.int64)
    for _ in range(100):
        for window in list(listener.push(np.zeros(RATE, np.float32))):
            assert listener.hear(window, model(window, columns)) == []
        assert len(listener._samples) < 6 * RATE
        assert len(listener._columns) * STRIDE < 6 * RATE
    assert listener.seconds == 100
    assert listener.finish_segment() is None


def test_labels_without_a_delimiter() -> None:
    listener = Listener(replace(LABELS, delimiter=None), PACE)
    samples, columns = said((0.5, "A"), (0.5, "B"), (0.5, " "))
    for window in listener.push(samples):
        listener.hear(window, model(window, columns))
    assert listener.text() == ("AB", 0)


@pytest.mark.parametrize("pause_s", [0.36, 0.5, 0.6])
def test_a_silence_that_was_asked_for_ends_a_segment_wherever_it_lies(pause_s: float) -> None:
    pace = replace(PACE, endpoint=0.3, each_frame=True)
    for before_s in np.arange(1.0, 1.34, 0.04):
        samples, columns = said((0.5, " "), (float(before_s), "A"), (pause_s, " "), (1.0, "B"), (0.2, " "))
        segments, _ = listen(samples, columns, pace=pace)
        pause = 0.5 + before_s, 0.5 + before_s + pause_s
        assert len(segments) == 2
        assert pause[0] < segments[0].end / RATE <= segments[1].start / RATE < pause[1]


def test_a_shorter_silence_ends_no_segment() -> None:
    samples, columns = said((1.0, "A"), (0.2, " "), (1.0, "B"), (0.28, " "), (1.0, "A"), (0.2, " "))
    assert len(listen(samples, columns, pace=replace(PACE, endpoint=0.3, each_frame=True))[0]) == 1


def test_two_segments_may_end_within_a_chunk() -> None:
    parts = [(0.06, "A"), (0.1, " "), (0.06, "B"), (0.1, " ")]
    samples, columns = said((0.64, " "), *parts, (1.0, " "))
    segments, _ = listen(samples, columns, pace=replace(PACE, endpoint=0.1, each_frame=True))
    assert len(segments) == 2


def test_a_sound_without_labels_waits_for_a_long_silence() -> None:
    samples, columns = said((0.5, " "), (1.0, "?"), (9.6, " "))
    ((start, end),) = times(listen(samples, columns, pace=replace(PACE, endpoint=9.2, longest=20.0))[0])
    assert start == pytest.approx(0.0, abs=0.03)
    assert end == pytest.approx(1.5 + 4.6, abs=0.03)


def test_labels_are_speech_and_other_sounds_are_not() -> None:
    samples, columns = said((1.0, " "), (1.0, "?"), (1.0, "A"), (0.5, " "))
    listener = Listener(LABELS, PACE)
    begun = []
    for window in listener.push(samples):
        assert listener.hear(window, model(window, columns)) == []
        begun.append((window.end / RATE, listener.speech))
    assert {speech for end, speech in begun if end < 2.0} == {None}
    assert {speech for end, speech in begun if end > 2.4} == {int(0.5 * RATE)}
    segment = listener.finish_segment()
    assert segment is not None
    assert segment.start == begun[-1][1]


def test_a_segment_that_ends_with_the_stream_has_its_last_samples() -> None:
    samples, columns = said((0.5, " "), (1.0, "A"))
    (segment,), _ = listen(samples[:-7], columns)
    assert segment.end == len(samples) - 7


def test_a_new_listener_knows_how_loud_the_stream_was() -> None:
    samples, columns = said((1.0, "A"), (1.0, " "))
    room = np.random.default_rng(1).normal(0, 2e-3, 2 * RATE).astype(np.float32)  # 44 dB below the speech
    one = Listener(LABELS, PACE)
    hear(one, one.push(3 * samples), columns)
    for loudest, expected in ((one.loudest, None), (-np.inf, 0)):
        other = Listener(LABELS, PACE, loudest=loudest)
        hear(other, other.push(room), np.zeros(100, np.int64))
        assert (segment.start if (segment := other.finish_segment()) else None) == expected
