"""The recordings that benchmarks are made with."""

import numpy as np
import pytest
from speech import RATE, equal, from_samples, mixed

SPEECH = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * RATE).astype(np.float32)


def test_the_mix_has_the_stated_lengths() -> None:
    lengths = [recording.seconds for recording in mixed(SPEECH, 300)]

    assert (min(lengths), max(lengths), lengths[-1]) == (1, 20, 1)
    assert sum(lengths) == pytest.approx(300, rel=0.1)


def test_the_same_mix_is_made_every_time() -> None:
    assert [recording.file for recording in mixed(SPEECH, 60)] == [recording.file for recording in mixed(SPEECH, 60)]


def test_recordings_of_equal_length() -> None:
    assert [recording.seconds for recording in equal(SPEECH, 40, 10.0)] == [10] * 4


def test_a_file_holds_the_samples_that_it_came_with() -> None:
    recording = from_samples(SPEECH[:RATE])

    assert np.abs(recording.samples - SPEECH[:RATE]).max() < 2**-15
    assert from_samples(recording.samples).file == recording.file
