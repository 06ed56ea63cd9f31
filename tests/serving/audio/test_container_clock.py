"""Times are those of the container: what begins later, or has a gap, is silent before, and in between."""

from collections.abc import Sequence

import numpy as np
import pytest
from asr_serving.audio import ffmpeg_reader
from recordings import by_ffmpeg, decoded, loud, speech

BEGIN_S, END_S = 0.251, 4.812  # of the sentence
RATES = {"libopus": 48_000}
CLOCKED = [("mp4", "aac"), ("ipod", "alac"), ("matroska", "aac"), ("matroska", "pcm_s16le"), ("webm", "libopus")]


def spoken_at(container: str, codec: str, times_s: Sequence[float]) -> tuple[np.ndarray, int]:
    """What is heard of a file in which the sentence begins at these times."""
    rate = RATES.get(codec, 16_000)
    options = {"b": "64000"} if codec == "wmav2" else {}
    return decoded(
        by_ffmpeg(container, codec, rate, samples=[(time_s, speech(rate)) for time_s in times_s], codec_options=options)
    )


@pytest.mark.parametrize(("container", "codec"), [*CLOCKED, ("asf", "wmav2")])
def test_what_begins_later_is_heard_later(container: str, codec: str) -> None:
    samples, rate = spoken_at(container, codec, [3.0])
    assert not samples[: int(2.9 * rate)].any()
    assert loud(samples, rate) == pytest.approx((3 + BEGIN_S, 3 + END_S), abs=0.05)
    assert len(samples) / rate == pytest.approx(3 + 5.31, abs=0.1)


@pytest.mark.parametrize(("container", "codec"), [*CLOCKED, ("asf", "wmav2"), ("ogg", "libopus"), ("mpegts", "aac")])
def test_a_gap_is_silence(container: str, codec: str) -> None:
    samples, rate = spoken_at(container, codec, [0.0, 8.0])
    assert loud(samples[: 7 * rate], rate) == pytest.approx((BEGIN_S, END_S), abs=0.1)
    assert np.abs(samples[6 * rate : int(7.9 * rate)]).max() < 1e-3
    assert loud(samples[7 * rate :], rate) == pytest.approx((1 + BEGIN_S, 1 + END_S), abs=0.1)


@pytest.mark.parametrize(("container", "codec"), [("mpegts", "aac"), ("ogg", "libopus")])
def test_the_clock_of_a_broadcast_began_before_the_recording(container: str, codec: str) -> None:
    samples, rate = spoken_at(container, codec, [300.0])
    assert loud(samples, rate) == pytest.approx((BEGIN_S, END_S), abs=0.1)


@pytest.mark.parametrize(("container", "codec"), [*CLOCKED, ("asf", "wmav2"), ("mp3", "libmp3lame")])
def test_what_an_encoder_puts_before_the_beginning_is_no_silence(container: str, codec: str) -> None:
    samples, rate = spoken_at(container, codec, [0.0])
    assert loud(samples, rate) == pytest.approx((BEGIN_S, END_S), abs=0.05)


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_a_clock_of_milliseconds_adds_nothing(rate: int) -> None:
    samples, _ = decoded(by_ffmpeg("matroska", "pcm_s16le", rate))
    np.testing.assert_allclose(samples, speech(rate), atol=1e-4)


def test_moments_that_are_missing_are_made_up_when_there_are_several() -> None:
    """Ten packets of 30 ms are missing, one after each half second: no word is heard more than a moment early."""
    whole = speech()
    pieces = [(at / 16_000, whole[at : at + 7_680]) for at in range(0, 76_800, 8_160)]
    samples, rate = decoded(by_ffmpeg("matroska", "pcm_s16le", samples=pieces))
    assert len(samples) / rate == pytest.approx(pieces[-1][0] + len(pieces[-1][1]) / rate, abs=0.1)


@pytest.mark.parametrize(
    ("times_s", "seconds"), [([700.0], 5.31), ([0.0, 700.0], 2 * 5.31), ([0.0, 400.0, 800.0], 410.7)]
)
def test_silence_is_bounded(times_s: list[float], seconds: float) -> None:
    """Ten minutes in all; a clock that jumps further is not believed, and goes on from where it then is."""
    assert ffmpeg_reader.MAX_SILENCE_S == 600
    samples, rate = spoken_at("matroska", "aac", times_s)
    assert len(samples) / rate == pytest.approx(seconds, abs=0.2)


def test_a_clock_that_goes_back_loses_nothing() -> None:
    one = by_ffmpeg("matroska", "aac")
    samples, rate = decoded(one + one)
    assert loud(samples[6 * rate :], rate)[1] + 6 == pytest.approx(5.31 + END_S, abs=0.1)
