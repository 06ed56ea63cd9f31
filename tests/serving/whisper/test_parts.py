"""Parts of speech: what belongs together, and that no sample of it is lost, whatever the pieces."""

import numpy as np
import pytest
from asr_serving.audio.speech import RECOGNITION, Detector, Span
from asr_serving.whisper.parts import PartCutter, group
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import speech
from sounds import RATE, SOUNDS, silence


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load()


@pytest.mark.parametrize(
    ("spans", "parts"),
    [
        ([], []),
        ([(1, 4), (5, 8)], [(1, 8)]),
        ([(1, 4), (6.1, 8)], [(1, 4), (6.1, 8)]),  # a long pause
        ([(0, 10), (11, 20), (21, 31)], [(0, 20), (21, 31)]),  # longer than a window
        ([(0, 45), (46, 50)], [(0, 45), (46, 50)]),  # one that is longer by itself
    ],
)
def test_speech_with_short_pauses_stays_together_up_to_a_window(
    spans: list[tuple[float, float]], parts: list[tuple[float, float]]
) -> None:
    def samples(times: list[tuple[float, float]]) -> list[Span]:
        return [(round(start * RATE), round(end * RATE)) for start, end in times]

    assert group(samples(spans), RATE, 30.0) == samples(parts)


def conversation() -> np.ndarray:
    """Three sentences: a short pause, and a long one."""
    return np.concatenate((silence(1), speech(), silence(1), speech(), silence(3), speech(), silence(1)))


def cut(samples: np.ndarray, sizes: list[int], cutter: PartCutter) -> list[tuple[int, np.ndarray]]:
    parts = [part for piece in np.split(samples, np.cumsum(sizes)) for part in cutter.push(piece)]
    return [(part.start, part.samples) for part in (*parts, *cutter.finish())]


@given(st.lists(st.integers(1, 60_000), max_size=12), st.sampled_from([4.0, 30.0]))
@settings(max_examples=15)
def test_the_parts_do_not_depend_on_the_pieces(detector: Detector, sizes: list[int], longest_s: float) -> None:
    samples = conversation()
    whole = cut(samples, [], PartCutter(detector, RATE, longest_s))
    pieces = cut(samples, sizes, PartCutter(detector, RATE, longest_s))
    assert [start for start, _ in pieces] == [start for start, _ in whole]
    for (start, ours), (_, theirs) in zip(pieces, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours, samples[start : start + len(ours)])


def test_the_parts_hold_all_speech_and_no_long_silence(detector: Detector) -> None:
    samples = conversation()
    parts = cut(samples, [], PartCutter(detector, RATE, 30.0))
    spans = detector.spans(samples, RATE, RECOGNITION)
    assert [(start, start + len(held)) for start, held in parts] == group(spans, RATE, 30.0)
    assert len(parts) == 2


def test_speech_without_a_pause_is_cut_where_it_is_quietest(detector: Detector) -> None:
    spoken = speech()[8_000:72_000]  # 4 s within the sentence
    samples = np.concatenate([spoken] * 5)
    samples[int(3.5 * RATE) : int(3.7 * RATE)] *= 0.01  # too short to be a pause
    cutter = PartCutter(detector, RATE, 4.0)
    parts, held = [], 0
    for piece in np.array_split(samples, 40):
        parts += cutter.push(piece)
        held = max(held, cutter.received - cutter._offset)
    parts += cutter.finish()
    assert all(len(part.samples) <= 4 * RATE for part in parts)
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert 3.5 < parts[0].end / RATE < 3.7
    assert parts[-1].end > len(samples) - RATE
    assert held <= 2 * 4 * RATE + len(samples) // 40


@pytest.mark.parametrize("name", SOUNDS)
def test_in_other_sounds_there_is_no_part_and_little_memory(detector: Detector, name: str) -> None:
    cutter = PartCutter(detector, RATE, 30.0)
    for piece in np.array_split(SOUNDS[name](20), 10):
        assert list(cutter.push(piece)) == []
        assert cutter.speaking() is None
    assert cutter.received - cutter._offset < 2 * RATE
    assert list(cutter.finish()) == []


def test_who_is_speaking_is_known_at_once(detector: Detector) -> None:
    cutter = PartCutter(detector, RATE, 30.0, max_pause_s=0.0)
    samples = np.concatenate((silence(1), speech(), silence(2)))
    assert list(cutter.push(samples[: 2 * RATE])) == []
    part = cutter.speaking()
    assert part is not None
    assert RATE < part.start + 0.5 * RATE < part.end == 2 * RATE
    (ended,) = cutter.push(samples[2 * RATE :])  # without waiting for further speech
    assert ended.start == part.start
    assert cutter.speaking() is None
