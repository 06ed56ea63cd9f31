"""`triton-asr export --lm`: the language model is looked at before all else, and lies where it is served."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from arpa import Bigrams
from asr_export import ExportError, ExportOptions, Labels, LanguageModelError, export_checkpoint
from asr_export.repository.language_model import read

WORDS = Bigrams({"hello": (-0.5, 0.0), "world": (-0.5, 0.0), "42": (-0.5, 0.0)})
LABELS = Labels(
    labels=["<pad>", "|", *"ehlowrd"],
    blank=0,
    delimiter=1,
    lowercase=False,
    clean_up_spaces=False,
    sampling_rate=16_000,
    stride_samples=320,
    receptive_field_samples=400,
)


def test_the_language_model_is_part_of_the_repository(
    tiny_checkpoint: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lm, lexicon, output = WORDS.write(tmp_path / "some.arpa"), tmp_path / "words.txt", tmp_path / "models"
    lexicon.write_text("hello\nworld\n42\n")
    options = ExportOptions(lm=str(lm), lexicon=str(lexicon))
    result = export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), output, options)
    assert (output / "ctc_decode" / "lm.arpa").read_bytes() == lm.read_bytes()
    assert (output / "ctc_decode" / "lexicon.txt").read_bytes() == lexicon.read_bytes()
    assert result.language_model is not None
    assert (result.language_model.kind, result.language_model.words) == ("words", 2)
    told = json.loads((output / "asr" / "export.json").read_text())["language_model"]
    assert told["left_out"] == 1
    assert told["examples"] == ["42"]
    # A later export without one leaves none behind.
    export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), output)
    assert sorted(path.name for path in (output / "ctc_decode").iterdir()) == ["1", "config.pbtxt", "labels.json"]


def test_a_model_of_labels(tmp_path: Path) -> None:
    lm = Bigrams(dict.fromkeys("helo|", (-1.0, 0.0))).write(tmp_path / "letters.arpa")
    assert read(lm, None, LABELS).kind == "labels"


@pytest.mark.parametrize(
    ("lm", "lexicon", "message"),
    [
        ("no.arpa", None, "--lm .*no.arpa is not a file"),
        ("lm.arpa", "no.txt", "--lexicon .*no.txt is not a file"),
        ("text.txt", None, "text.txt cannot be used: this is neither an ARPA file .* nor a binary model of KenLM"),
        ("lm.arpa", "text.txt", "cannot be used: none of the 2 words of lexicon.txt can be written .* such as '12'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, lm: str, lexicon: str | None, message: str) -> None:
    WORDS.write(tmp_path / "lm.arpa")
    (tmp_path / "text.txt").write_text("12\n34\n")
    with pytest.raises(LanguageModelError, match=message):
        read(tmp_path / lm, tmp_path / lexicon if lexicon else None, LABELS)


def test_a_vocabulary_without_a_mark_between_words(tmp_path: Path) -> None:
    lm = WORDS.write(tmp_path / "lm.arpa")
    with pytest.raises(LanguageModelError, match="this model's labels have no delimiter between words"):
        read(lm, None, replace(LABELS, labels=["<pad>", "▁h", *"ehlowrd"], delimiter=None, word_start="▁"))


def test_nothing_is_written_when_it_does_not_fit(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    lm = Bigrams({"12": (-0.5, 0.0)}).write(tmp_path / "lm.arpa")
    with pytest.raises(LanguageModelError, match="none of the 1 words"):
        export_checkpoint(str(tiny_checkpoint("wav2vec2-group-norm")), tmp_path / "models", ExportOptions(lm=str(lm)))
    assert not (tmp_path / "models").exists()


def test_a_lexicon_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--lexicon is for a language model; needs --lm"):
        export_checkpoint("nobody/nothing", tmp_path, ExportOptions(lexicon="words.txt"))


def test_a_link_to_a_model_is_followed(tmp_path: Path) -> None:
    lm = WORDS.write(tmp_path / "real.arpa")
    (tmp_path / "link").symlink_to(lm)
    found = read(tmp_path / "link", None, LABELS)
    (tmp_path / "step").mkdir()
    found.copy_to(tmp_path / "step")
    assert not (tmp_path / "step" / "lm.arpa").is_symlink()
