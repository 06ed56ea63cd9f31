import csv
import random

import av
import grammar
import make_samples
import pytest

RECORDINGS = {recording.name: recording for recording in make_samples.RECORDINGS}


@pytest.fixture(scope="module")
def manifest(demo):
    with (demo / "samples" / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        return {row["audio"]: row["text"] for row in csv.DictReader(file, delimiter="\t")}


def test_the_manifest_lists_every_file_once(demo, manifest):
    files = {path.name for path in (demo / "samples").iterdir()} - {"manifest.tsv"}
    assert set(manifest) == files == set(RECORDINGS)


def test_every_sentence_is_held_out(manifest):
    rng = random.Random(make_samples.SAMPLES_SEED)
    rng.sample(make_samples.HELD_OUT_VOICES, len(make_samples.RECORDINGS))
    for recording in make_samples.RECORDINGS:
        sentences = make_samples.sentences(recording, rng)
        assert manifest[recording.name] == " ".join(sentences)
        assert all(map(grammar.is_held_out, sentences))


def test_quilter_is_among_them(manifest):
    assert manifest["quilter.wav"] == grammar.QUILTER


@pytest.mark.parametrize("name", sorted(RECORDINGS))
def test_each_file_is_what_it_claims(demo, name):
    recording = RECORDINGS[name]
    with av.open(str(demo / "samples" / name)) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) in {(recording.rate, recording.channels), (48_000, recording.channels)}
        frames = [frame.samples / frame.sample_rate for frame in container.decode(stream)]
    assert 1 <= sum(frames) <= 20


def test_the_promised_variety(demo):
    assert {recording.rate for recording in make_samples.RECORDINGS} == {8_000, 16_000, 22_050, 44_100, 48_000}
    assert {recording.channels for recording in make_samples.RECORDINGS} == {1, 2}
    suffixes = {name.rpartition(".")[2] for name in RECORDINGS}
    assert suffixes == {"wav", "flac", "mp3", "ogg", "opus", "m4a"}
    assert sum(path.stat().st_size for path in (demo / "samples").iterdir()) < 3_000_000


def test_they_can_be_made_again(demo, espeak, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["make_samples.py", "--output", str(tmp_path)])
    make_samples.main()
    assert (tmp_path / "manifest.tsv").read_text() == (demo / "samples" / "manifest.tsv").read_text()
