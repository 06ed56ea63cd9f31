"""The language model of a Wav2Vec2ProcessorWithLM: served with its own weights, or left aside with the reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_hub
import installed
import pytest
from arpa import Bigrams
from asr_export import ExportOptions, ExportResult, Labels, LanguageModelError, export_checkpoint
from asr_export.checkpoint.labels import read_labels
from asr_export.checkpoint.loading import load, locate
from asr_export.repository import own_language_model

OWN = Bigrams({"ab": (-0.5, 0.0), "ba": (-0.5, 0.0), "cab": (-0.9, 0.0)})
OTHER = Bigrams({"ab": (-0.5, 0.0)})
# pyctcdecode takes what the ARPA file has, these among them.
UNIGRAMS = "</s>\n<s>\n<unk>\nab\nba\ncab\n"


@pytest.fixture(scope="module")
def labels(tiny_checkpoint: Callable[[str], Path]) -> Labels:
    return read_labels(load(locate(str(tiny_checkpoint("wav2vec2-group-norm")))))


@pytest.fixture
def folder(tiny_checkpoint: Callable[[str], Path], labels: Labels, tmp_path: Path) -> Path:
    """A checkpoint with a language model, as pyctcdecode 0.5.0 writes it."""
    copy = Path(shutil.copytree(tiny_checkpoint("wav2vec2-group-norm"), tmp_path / "checkpoint"))
    names = ["⁇" if label == "<unk>" else label.lower() for label in labels.labels]
    names[labels.blank] = ""
    names[labels.delimiter or 0] = " "
    (copy / "alphabet.json").write_text(json.dumps({"labels": names, "is_bpe": False}))
    (copy / "language_model").mkdir()
    OWN.write(copy / "language_model" / "3gram.arpa")
    (copy / "language_model" / "unigrams.txt").write_text(UNIGRAMS)
    attributes = {"alpha": 0.7, "beta": 1.5, "unk_score_offset": -10.0, "score_boundary": True}
    (copy / "language_model" / "attrs.json").write_text(json.dumps(attributes))
    return copy


def export(folder: Path, **options: Any) -> tuple[ExportResult, list[str]]:
    """The result, and the notes on a language model."""
    steps: list[str] = []
    result = export_checkpoint(str(folder), folder.parent / "models", ExportOptions(**options), steps.append)
    return result, [step for step in steps if "language model" in step]


def test_it_is_served_with_its_own_weights(folder: Path) -> None:
    result, notes = export(folder)
    assert notes == ["using the checkpoint's own language model for decoder=beam"]
    step = result.output / "ctc_decode"
    assert (step / "lm.arpa").read_bytes() == (folder / "language_model" / "3gram.arpa").read_bytes()
    assert (step / "lexicon.txt").read_text() == UNIGRAMS
    assert json.loads((step / "lm.json").read_text()) == {"lm_weight": 0.7, "word_score": 1.5}
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert report["language_model"]["words"] == 3
    assert report["language_model"]["weights"] == {"lm_weight": 0.7, "word_score": 1.5}
    assert "language_model/unigrams.txt" in report["files_sha256"]


def test_without_words_those_of_the_model_come_out(folder: Path, labels: Labels) -> None:
    (folder / "language_model" / "unigrams.txt").write_text("")
    found = own_language_model.read(folder, labels)
    assert found is not None
    assert (found.lexicon, found.words) == (None, 3)


def test_a_language_model_that_is_asked_for_wins(folder: Path, tmp_path: Path) -> None:
    result, notes = export(folder, lm=str(OTHER.write(tmp_path / "other.arpa")))
    assert notes == []
    step = result.output / "ctc_decode"
    assert (step / "lm.arpa").read_bytes() == (tmp_path / "other.arpa").read_bytes()
    assert not (step / "lm.json").exists()
    assert not (step / "lexicon.txt").exists()


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def break_alphabet(folder: Path) -> None:
    names = json.loads((folder / "alphabet.json").read_text())["labels"]
    edit(folder / "alphabet.json", labels=[*names[:-1], "ß"])


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (
            lambda folder: (folder / "language_model" / "3gram.arpa").rename(folder / "3gram"),
            "needs one model of KenLM",
        ),
        (
            lambda folder: OTHER.write(folder / "language_model" / "4gram.bin"),
            "holds 3gram.arpa, 4gram.bin, attrs.json",
        ),
        (
            lambda folder: (folder / "language_model" / "3gram.arpa").write_text("no"),
            "cannot be used: KenLM cannot read",
        ),
        (lambda folder: (folder / "language_model" / "attrs.json").unlink(), "cannot read .*attrs.json"),
        (lambda folder: edit(folder / "language_model" / "attrs.json", alpha="x"), "has alpha 'x'; needs a number"),
        (lambda folder: edit(folder / "language_model" / "attrs.json", alpha=11), "sets lm_weight to 11; needs 0 to"),
        (lambda folder: edit(folder / "alphabet.json", labels=["a"]), "has 1 labels; needs the model's"),
        (lambda folder: edit(folder / "alphabet.json", is_bpe=True), "has pieces of words"),
        (break_alphabet, "calls column .* 'ß', but the vocabulary"),
        (lambda folder: (folder / "alphabet.json").write_text("[]"), "alphabet.json holds list; needs an object"),
    ],
)
def test_one_that_cannot_be_used_says_why(
    harm: Callable[[Path], object], reason: str, folder: Path, labels: Labels
) -> None:
    harm(folder)
    with pytest.raises(LanguageModelError, match=reason):
        own_language_model.read(folder, labels)


def test_one_that_cannot_be_used_is_left_aside(folder: Path) -> None:
    break_alphabet(folder)
    result, (note,) = export(folder)
    assert note.startswith("ignoring the checkpoint's own language model: ")
    assert "'ß'" in note
    assert result.language_model is None
    assert not list((result.output / "ctc_decode").glob("lm.*"))


def test_it_comes_along_with_a_download(folder: Path, tmp_path: Path) -> None:
    hub = {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1"}
    with fake_hub.serve("someone/tiny", folder) as (address, downloaded):
        environment = installed.clean_environment() | hub | {"HF_ENDPOINT": address}
        done = installed.run(
            *(installed.COMMAND, "export", "someone/tiny", "--output", tmp_path / "models"),
            cwd=tmp_path,
            environment=environment,
        )
    assert done.returncode == 0, done.stderr
    assert {"alphabet.json", "3gram.arpa", "attrs.json", "unigrams.txt"} <= set(downloaded)
    assert "language model of 3 words, lm_weight 0.7, word_score 1.5" in done.stdout
