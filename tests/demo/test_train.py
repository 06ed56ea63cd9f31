"""Training in small: a batch, a few steps, and a run that goes on where it stopped."""

import random

import pytest
import torch
import train
from train import CURRICULUM, FreshSpeech, learning_rate, start_run, training_step


@pytest.fixture
def short_batches(monkeypatch):
    monkeypatch.setattr(train, "BATCH_S", 3.0)
    monkeypatch.setattr(train, "PROGRESS_SENTENCES", 2)
    yield
    torch.set_flush_denormal(False)  # training sets it, for the whole process: other tests need their smallest floats


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    assert learning_rate(0, 1000) < learning_rate(100, 1000) < train.PEAK_LEARNING_RATE
    assert learning_rate(300, 1000) == learning_rate(500, 1000) == train.PEAK_LEARNING_RATE
    assert learning_rate(750, 1000) == pytest.approx(train.PEAK_LEARNING_RATE / 2)
    assert learning_rate(1000, 1000) == 0


def test_fewer_steps_on_resumption_lead_into_the_descent():
    assert learning_rate(750, 10_000) == train.PEAK_LEARNING_RATE > learning_rate(750, 1000)


def test_the_curriculum_covers_every_step():
    ends = [stage.until_step for stage in CURRICULUM]
    assert ends == sorted(ends)
    assert ends[-1] == float("inf")
    assert all(stage.voices for stage in CURRICULUM)


def test_parts_are_the_whole_text():
    rng = random.Random(0)
    cut = [train._parts("we are glad to welcome his gospel", 0.5, rng) for _ in range(100)]
    assert {" ".join(parts) for parts in cut} == {"we are glad to welcome his gospel"}
    assert {len(parts) for parts in cut} == {1, 2, 3}
    assert train._parts("good morning", 1.0, rng) == ["good morning"]


@pytest.mark.parametrize("step", [0, 1000, 5000])
def test_a_batch_fits_together(espeak, step):
    batch = FreshSpeech(seed=1)[step]
    assert batch.audio.shape == batch.mask.shape
    assert batch.audio.numel() <= train.BATCH_S * train.SAMPLE_RATE or len(batch.audio) == 1
    assert len(batch.label_counts) == len(batch.audio)
    assert int(batch.label_counts.sum()) == len(batch.labels)


def test_a_run_resumes_where_it_stopped(espeak, short_batches, tmp_path):
    run = start_run(tmp_path, seed=1)
    assert training_step(run.model, run.optimizer, FreshSpeech(1)[0]) > 0
    run.step = 1
    run.save()
    again = start_run(tmp_path, seed=1)
    assert again.step == 1
    for one, other in zip(run.model.parameters(), again.model.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert not list(tmp_path.glob("*.partial"))


def test_a_state_of_another_seed_is_refused(tmp_path):
    start_run(tmp_path, seed=1).save()
    with pytest.raises(SystemExit, match="seed 1, not 2"):
        start_run(tmp_path, seed=2)


def test_a_short_training_leaves_a_checkpoint(espeak, short_batches, tmp_path, monkeypatch):
    arguments = ["train.py", "--steps", "2", "--work-dir", str(tmp_path / "work"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", arguments)
    train.main()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "vocab.json", "preprocessor_config.json"} <= names
    assert (tmp_path / "work" / "state.pt").exists()
