import io
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from asr_loadtest import mix
from asr_loadtest.errors import InvalidProfile
from hypothesis import given
from hypothesis import strategies as st
from recordings import loud, recording


@pytest.fixture
def tones(tmp_path: Path) -> list[Path]:
    """Two recordings of 1 s, stereo at 8 kHz and mono at 16 kHz."""
    paths = [tmp_path / "stereo.flac", tmp_path / "mono.wav"]
    soundfile.write(paths[0], np.full((8000, 2), 0.25), 8000)
    soundfile.write(paths[1], np.full(16000, -0.5), 16000)
    return paths


def length_s(audio: bytes) -> float:
    with wave.open(io.BytesIO(audio)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return file.getnframes() / file.getframerate()


def test_lengths_are_exact_to_the_sample(tones):
    lengths = [0.5, 1.0, 7.25]
    assert [length_s(audio) for audio in mix.make(tones, lengths, seed=0)] == lengths


def test_the_same_seed_makes_the_same_recordings(tones):
    assert mix.make(tones, [7.0, 3.0], 1) == mix.make(tones, [7.0, 3.0], 1)
    assert mix.make(tones, [7.0, 3.0], 1) != mix.make(tones, [7.0, 3.0], 2)


def test_sources_of_unknown_formats_are_left_out(tones, tmp_path):
    (tmp_path / "memo.m4a").write_bytes(b"\0\0\0\x1cftypM4A nothing that FFmpeg knows")
    assert length_s(mix.make([*tones, tmp_path / "memo.m4a"], [2.0], 0)[0]) == 2.0
    with pytest.raises(InvalidProfile, match="no mix can be made of memo.m4a"):
        mix.make([tmp_path / "memo.m4a"], [2.0], 0)


@pytest.mark.parametrize("name", ["mp3 vbr without xing", "mp3 44.1 kHz vbr without xing", "wav gsm", "m4a"])
def test_a_source_is_what_is_there_and_not_what_a_header_says(tmp_path, name):
    (tmp_path / name).write_bytes(recording(name))
    with wave.open(io.BytesIO(mix.make([tmp_path / name], [10.0], 0)[0])) as file:
        samples = np.frombuffer(file.readframes(10 * 16000), "<i2") / 32768
    assert loud(samples, 16000) == pytest.approx((0.25, 10.0), abs=0.1)
    silent = np.abs(samples[int(4.95 * 16000) : int(5.4 * 16000)]).max()  # between the sentence and its second time
    assert silent < 0.02


def test_a_range_is_covered_evenly():
    lengths = mix.parse("uniform:1-20").lengths(50)
    assert np.mean(lengths) == pytest.approx(10.5, abs=1e-3)
    assert np.diff(lengths) == pytest.approx(0.38, abs=1e-3)
    assert 1 < min(lengths) < max(lengths) < 20


def test_one_length_is_that_of_all_recordings():
    assert mix.parse("5").lengths(3) == [5.0] * 3


def test_weights_share_the_recordings_out():
    lengths = mix.parse("2:50,5:30,15:20").lengths(10)
    assert [lengths.count(seconds) for seconds in (2, 5, 15)] == [5, 3, 2]


@given(st.dictionaries(st.integers(1, 30), st.integers(1, 1000), min_size=1, max_size=8), st.integers(8, 100))
def test_weighted_lengths_are_as_many_as_asked_for_and_none_is_missing(weights, number):
    text = ",".join(f"{seconds}:{weight}" for seconds, weight in weights.items())
    lengths = mix.parse(text).lengths(number)
    assert len(lengths) == number
    assert set(lengths) == set(weights)


@pytest.mark.parametrize(
    "text", ["", "x", "uniform:5", "uniform:9-1", "5:0", "5:-1", "2:1,2:3", "0", "-3", "nan", "5:inf", "99999", "2:3:4"]
)
def test_a_mix_that_cannot_be_meant_is_refused(text):
    with pytest.raises(InvalidProfile, match="needs"):
        mix.parse(text)


def test_fewer_recordings_than_lengths_are_refused():
    with pytest.raises(InvalidProfile, match="2 recordings cannot have 3 lengths"):
        mix.parse("2:1,5:1,9:1").lengths(2)
