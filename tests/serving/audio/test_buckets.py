"""Padding to one of a few lengths."""

import numpy as np
import pytest
from asr_serving.audio import buckets


@pytest.mark.parametrize(("samples", "width"), [(1, 512), (512, 512), (513, 1024), (1024, 1024), (2048, 2048)])
def test_a_waveform_is_padded_with_zeros_to_the_next_length(samples: int, width: int) -> None:
    waveform = np.arange(1, samples + 1, dtype=np.float32)
    padded = buckets.pad(waveform, buckets.parse("512,1024,2048", 2048))
    assert (padded.shape, padded.dtype) == ((width,), np.float32)
    np.testing.assert_array_equal(padded[:samples], waveform)
    assert not padded[samples:].any()


def test_no_lengths_leave_it_as_it_is() -> None:
    waveform = np.ones(777, np.float32)
    assert buckets.pad(waveform, buckets.parse("", 10**9)) is waveform


def test_the_longest_recording_needs_a_place() -> None:
    with pytest.raises(ValueError, match="ends at 1024; needs 1025"):
        buckets.parse("512,1024", 1025)
