from pathlib import Path

import numpy as np
import pytest
import soundfile
from asr_loadtest import recordings
from asr_loadtest.errors import InvalidProfile
from asr_loadtest.recordings import Recording, in_rounds
from hypothesis import given
from hypothesis import strategies as st
from recordings import recording

SAMPLES = Path(__file__).parents[2] / "demo" / "samples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, seconds in (("b.wav", 3), ("a.flac", 1)):
        soundfile.write(tmp_path / name, np.zeros(16000 * seconds), 16000)
    (tmp_path / "notes.txt").write_text("not audio")
    return tmp_path


def test_a_folder_gives_its_audio_files_as_they_are(folder):
    loaded = recordings.load(folder)
    assert [(item.name, item.seconds, item.text) for item in loaded] == [("a.flac", 1.0, None), ("b.wav", 3.0, None)]
    assert loaded[0].audio == (folder / "a.flac").read_bytes()


def test_a_manifest_gives_references_too():
    loaded = recordings.load(SAMPLES / "manifest.tsv")
    assert loaded[0].name == "quilter.wav"
    assert loaded[0].text.startswith("mister quilter")


def test_what_cannot_be_read_here_has_no_length_yet(folder):
    (folder / "odd.wav").write_bytes(b"RIFF, and what only the server may know")
    by_name = {item.name: item for item in recordings.load(folder)}
    assert by_name["odd.wav"].seconds is None
    assert by_name["odd.wav"].length_class == recordings.UNKNOWN_LENGTH


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("mp3 vbr without xing", 5.4),  # libsndfile's estimate: 28.9 s
        ("mp3 44.1 kHz vbr without xing", 5.36),  # 1.9 s
        ("wav gsm", 5.32),
        ("flac", 5.31),
        ("m4a", 5.31),
    ],
)
def test_a_length_is_that_of_the_samples_whatever_the_header_says(tmp_path, name, seconds):
    (tmp_path / f"spoken.{name.split()[0]}").write_bytes(recording(name))
    (tmp_path / f"twice.{name.split()[0]}").write_bytes(recording(name) * (2 if "mp3" in name else 1))
    spoken, twice = recordings.load(tmp_path)
    assert spoken.seconds == pytest.approx(seconds, abs=0.05)
    assert twice.seconds == pytest.approx(seconds * (2 if "mp3" in name else 1), abs=0.1)


def test_a_mix_is_made_of_the_demo_samples():
    loaded = recordings.load(SAMPLES, mix="2:50,15:50", number=4)
    assert [item.seconds for item in loaded] == [2.0, 2.0, 15.0, 15.0]
    assert loaded == recordings.load(SAMPLES, mix="2:50,15:50", number=4)


def test_a_number_chooses_among_the_files(folder):
    assert len(recordings.load(folder, number=1)) == 1
    with pytest.raises(InvalidProfile, match="3 recordings are asked for, and the source has 2"):
        recordings.load(folder, number=3)


@pytest.mark.parametrize(
    ("seconds", "name"), [(0.5, "0-2 s"), (2, "2-5 s"), (4.99, "2-5 s"), (10, "10-20 s"), (20, "20+ s"), (99, "20+ s")]
)
def test_length_classes(seconds, name):
    assert Recording("x", b"x", seconds).length_class == name


def test_the_profile_counts_classes_from_short_to_long():
    made = [Recording("x", b"x", seconds) for seconds in (12.0, 1.0, 3.0, 3.0)]
    profile = recordings.profile("somewhere", made)
    assert list(profile.classes.items()) == [("0-2 s", 1), ("2-5 s", 2), ("10-20 s", 1)]
    assert (profile.audio_s, profile.mean_s, profile.min_s, profile.max_s) == (19.0, 4.75, 1.0, 12.0)


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(InvalidProfile, match="no audio files"):
        recordings.load(tmp_path)
    with pytest.raises(InvalidProfile, match="does not exist"):
        recordings.load(tmp_path / "missing")
    (tmp_path / "empty.wav").touch()
    with pytest.raises(InvalidProfile, match="empty.wav is empty"):
        recordings.load(tmp_path)


@given(st.integers(0, 200), st.integers(1, 20), st.integers(0, 1000))
def test_every_round_has_each_recording_once(number, recordings, seed):
    order = in_rounds(number, recordings, seed)
    assert len(order) == number
    for start in range(0, number - recordings + 1, recordings):
        assert sorted(order[start : start + recordings]) == list(range(recordings))
