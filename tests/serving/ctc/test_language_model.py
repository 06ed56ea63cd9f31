"""Beam search with a language model against the definition: alignments, times the language model, for each text."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arpa import Bigrams
from asr_contract.labels import Labels
from asr_contract.parameters import DecodeOptions
from asr_serving.ctc import language_model
from asr_serving.ctc.beam import BeamOptions, BeamSearch
from asr_serving.ctc.decoding import Decoder
from asr_serving.ctc.language_model import LanguageModel, LanguageModelError
from decode import decode
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.serving.ctc.test_greedy import LABELS, path

SMALL = replace(LABELS, labels=["<pad>", "|", "A", "B"])
PIECES = replace(LABELS, labels=["<pad>", "▁a", "b", "▁b"], delimiter=None, word_start="▁")
OF_WORDS = Bigrams(
    {"a": (-0.6, -0.3), "ab": (-0.9, -0.1), "ba": (-1.5, -0.2)},
    {("<s>", "ab"): -0.3, ("a", "ba"): -0.2, ("ab", "</s>"): -0.4},
)
OF_LABELS = Bigrams(
    {"a": (-0.6, -0.3), "b": (-0.9, -0.1), "|": (-0.8, -0.2)},
    {("<s>", "b"): -0.3, ("a", "b"): -0.2, ("b", "</s>"): -0.4},
)
frames = st.lists(st.lists(st.floats(0.05, 3), min_size=4, max_size=4), min_size=1, max_size=5)


def load(folder: Path, model: Bigrams, labels: Labels, lexicon: str | None = None) -> LanguageModel:
    model.write(folder / "lm.arpa")
    if lexicon is not None:
        (folder / "lexicon.txt").write_text(lexicon, encoding="utf-8")
    found = language_model.load(folder, labels)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in ("words", "labels")}


def normalized(rows: list[list[float]]) -> np.ndarray:
    probabilities = np.array(rows)
    return np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


def heard(columns: str) -> np.ndarray:
    return path(columns)[:, : len(SMALL.labels)]


def by_definition(log_probs: np.ndarray, labels: Labels) -> dict[tuple[int, ...], float]:
    """Each sequence of labels, with the logarithm of the sum over its alignments."""
    totals: dict[tuple[int, ...], float] = {}
    for way in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        spoken = tuple(column for column, _ in itertools.groupby(way) if column != labels.blank)
        totals[spoken] = np.logaddexp(totals.get(spoken, -np.inf), log_probs[range(len(way)), list(way)].sum())
    return totals


def best_text(totals: dict[tuple[int, ...], float], labels: Labels, weight: float, word_score: float) -> float:
    """The best score of a text whose words are all known, over all ways to put delimiters around them."""
    texts: dict[str, float] = {}
    for spoken, total in totals.items():
        text = " ".join(labels.text(list(spoken)).split())  # two delimiters are as good as one
        if all(word.lower() in OF_WORDS.unigrams for word in text.split()):
            texts[text] = np.logaddexp(texts.get(text, -np.inf), total)
    scores = {
        text: total + weight * OF_WORDS.nats(text.lower().split()) + word_score * len(text.split())
        for text, total in texts.items()
    }
    return max(scores.values())


@settings(deadline=None, max_examples=60)
@given(frames, st.floats(0.1, 2), st.floats(-1, 1))
@example([[1.0] * 4] * 4 + [[1.0, 1.0, 2.0, 1.0]], 0.125, 1.0)  # "A||A" counts for "A A"
def test_words(folders: dict[str, Path], rows: list[list[float]], weight: float, word_score: float) -> None:
    log_probs = normalized(rows)
    search = BeamSearch(SMALL, load(folders["words"], OF_WORDS, SMALL))
    best = search.search(log_probs, BeamOptions(2000, lm_weight=weight, word_score=word_score))[0]
    expected = best_text(by_definition(log_probs, SMALL), SMALL, weight, word_score)
    assert best.score == pytest.approx(expected, abs=1e-3)
    assert set(best.text.lower().split()) <= OF_WORDS.unigrams.keys()
    assert len(best.path) == len(rows)


@settings(deadline=None, max_examples=60)
@given(frames, st.floats(0.1, 2))
def test_labels(folders: dict[str, Path], rows: list[list[float]], weight: float) -> None:
    log_probs = normalized(rows)
    model = load(folders["labels"], OF_LABELS, SMALL)
    assert not model.is_of_words
    best = BeamSearch(SMALL, model).search(log_probs, BeamOptions(2000, lm_weight=weight))[0]
    expected = max(
        total + weight * OF_LABELS.nats([SMALL.labels[column].lower() for column in spoken])
        for spoken, total in by_definition(log_probs, SMALL).items()
    )
    assert best.score == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["probing", "trie"])
def test_the_binary_form_is_the_same_model(tmp_path: Path, kind: str) -> None:
    """The files are OF_WORDS, as `build_binary probing|trie words.arpa` of KenLM 0.3.0 writes it."""
    (tmp_path / "lm.bin").write_bytes((Path(__file__).parent / "kenlm" / f"words-{kind}.bin").read_bytes())
    binary, options = language_model.load(tmp_path, SMALL), BeamOptions(50, nbest=5, lm_weight=1.0)
    assert binary is not None
    model = load(tmp_path, OF_WORDS, SMALL)
    log_probs = normalized(np.random.default_rng(0).uniform(0.05, 3, (6, 4)).tolist())
    expected = BeamSearch(SMALL, model).search(log_probs, options)
    found = BeamSearch(SMALL, binary).search(log_probs, options)
    assert {one.text: pytest.approx(one.score, abs=1e-3) for one in expected} == {one.text: one.score for one in found}
    assert len(found) > 1


def test_a_weight_of_nothing_is_beam_search_without_a_model(tmp_path: Path) -> None:
    log_probs = normalized(np.random.default_rng(0).uniform(0.05, 3, (6, 4)).tolist())
    with_model = BeamSearch(SMALL, load(tmp_path, OF_WORDS, SMALL)).search(log_probs, BeamOptions(50, nbest=5))
    without = BeamSearch(SMALL).search(log_probs, BeamOptions(50, nbest=5))
    assert [(one.text, one.score) for one in with_model] == [(one.text, one.score) for one in without]


def test_a_word_cut_off_at_the_end_does_not_lose_the_others(tmp_path: Path) -> None:
    search = BeamSearch(SMALL, load(tmp_path, Bigrams({"abba": (-0.5, 0.0), "aba": (-0.5, 0.0)}), SMALL))
    (best,) = search.search(heard("A-B-A-|-A-B"), BeamOptions(4, lm_weight=0.5))
    assert best.text == "ABA"
    (best,) = search.search(heard("A-B"), BeamOptions(1, lm_weight=0.5))  # where no other text is left
    assert best.text == "AB"
    assert best.score > -50


def test_a_request_decodes_with_the_model(tmp_path: Path) -> None:
    labels = replace(LABELS, labels=["<pad>", "|", "A", "B"])
    log_probs = normalized([[0.1, 0.1, 5, 4], [5, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 5]])
    model = load(tmp_path, Bigrams({"bb": (-0.1, 0.0), "a": (-0.5, 0.0)}), labels)
    (greedy,) = decode([log_probs], [3], labels, model)
    (heard,) = decode([log_probs], [3], labels, model, decoder="beam", word_timestamps=True)
    (without,) = decode([log_probs], [3], labels, model, decoder="beam", lm_weight=0)
    assert (greedy.text, heard.text, without.text) == ("AB", "BB", "AB")
    assert [word.word for word in heard.words] == ["BB"]
    assert 0 < heard.confidence < greedy.confidence


def test_options_of_a_model_that_is_not_there(tmp_path: Path) -> None:
    log_probs = heard("A")
    with pytest.raises(ValueError, match="lm_weight given, but this model has no language model; needs one from"):
        decode([log_probs], [1], SMALL, decoder="beam", lm_weight=1)
    of_labels = load(tmp_path, OF_LABELS, SMALL)
    with pytest.raises(ValueError, match="word_score given, but this model has no language model of words"):
        decode([log_probs], [1], SMALL, of_labels, decoder="beam", word_score=1)


def test_a_lexicon_says_which_words_come_out(tmp_path: Path) -> None:
    model = load(tmp_path, OF_WORDS, SMALL, "ab\nBAB\n\nnine\nx\tB B |\nb\tC\n")
    assert model.is_of_words
    assert [columns for _, columns in model.spellings or ()] == [[2, 3], [3, 2, 3], [3, 3]]
    assert model.left_out == ("nine", "b")


def test_a_lexicon_makes_a_model_of_words_of_single_letters(tmp_path: Path) -> None:
    assert not load(tmp_path, OF_LABELS, SMALL).is_of_words
    assert load(tmp_path, OF_LABELS, SMALL, "a\nb").is_of_words


def test_pieces_need_a_model_of_pieces(tmp_path: Path) -> None:
    with pytest.raises(
        LanguageModelError, match="lm.arpa holds words, but this model's labels have no delimiter .* as in 'b ▁b'"
    ):
        load(tmp_path, OF_WORDS, PIECES)
    pieces = load(tmp_path, Bigrams({"▁a": (-0.5, 0.0), "b": (-0.5, 0.0)}), PIECES)
    assert not pieces.is_of_words


def test_no_model_is_no_error(tmp_path: Path) -> None:
    assert language_model.load(tmp_path, SMALL) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"some text\n", "neither an ARPA file .* nor a binary model of KenLM"),
        (b"", "lm.arpa is empty"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\t<unk>\t0\n\n\\end\\\n", "lm.arpa knows no words"),
        (b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\t\xff\t0\n\n\\end\\\n", "not UTF-8"),
        (
            b"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\t77\t0\n\n\\end\\\n",
            "none of the 1 words .* such as '77'; needs words of AB",
        ),
        (b"\\data\\\nngram 1=9\n\n\\1-grams:\n-1\tab\t0\n\n\\end\\\n", "KenLM cannot read lm.arpa"),
        (b"mmap lm http://kheafield.com/code format version 5\n\0 and no words", "built without its words"),
    ],
)
def test_models_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "lm.arpa").write_bytes(content)
    with pytest.raises(LanguageModelError, match=message):
        language_model.load(tmp_path, SMALL)


def test_the_program_tells_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(SMALL.__dict__), encoding="utf-8")
    load(tmp_path, OF_WORDS, SMALL, "ab\n99")
    assert language_model.main(tmp_path) == 0
    assert json.loads(capsys.readouterr().out) == {"kind": "words", "words": 1, "left_out": 1, "examples": ["99"]}
    (tmp_path / "lexicon.txt").write_text("99")
    assert language_model.main(tmp_path) == 1
    assert "none of the 1 words of lexicon.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "alpha", "beta", "expected"),
    [
        ("AB", 0.5, 1.5, 0.6941),
        ("A BA", 0.5, 1.5, 0.8125),
        ("AB", 1.0, 0.0, -1.6118),
        ("A BA", 1.0, 0.0, -4.3749),
        ("A BA", 2.0, -1.0, -10.7499),
    ],
)
def test_weights_mean_what_they_mean_to_pyctcdecode(
    text: str, alpha: float, beta: float, expected: float, tmp_path: Path
) -> None:
    """`expected`: what pyctcdecode 0.5.0 adds to the acoustic score of this text, with this model."""
    search = BeamSearch(SMALL, load(tmp_path, OF_WORDS, SMALL))
    log_probs = np.full((len(text), 4), -15.0, dtype=np.float32)  # no other text is near
    log_probs[range(len(text)), [SMALL.labels.index("|" if letter == " " else letter) for letter in text]] = 0
    (best,) = search.search(log_probs, BeamOptions(16, lm_weight=alpha, word_score=beta))
    acoustic = log_probs[range(len(best.path)), best.path].sum()
    assert best.text == text
    assert best.score - acoustic == pytest.approx(expected, abs=2e-3)


def test_weights_beside_a_model_count_where_a_request_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "lm.json").write_text('{"lm_weight": 1.7, "word_score": -3}')
    model = load(tmp_path, OF_WORDS, SMALL)
    log_probs = normalized([[1, 1, 2, 2], [1, 2, 2, 1], [1, 1, 2, 2], [2, 1, 1, 2]])
    asked = [
        DecodeOptions(decoder="beam", lm_weight=1.7, word_score=-3),
        DecodeOptions(decoder="beam"),
        DecodeOptions(decoder="beam", lm_weight=0.5),
    ]
    decoder = Decoder(SMALL, model)
    tasks = [decoder.task(log_probs, 4, option) for option in asked]
    said, nothing, other = [result.alternatives[0].score for result in decoder.decode(tasks)]
    assert said == nothing != other


@pytest.mark.parametrize(
    "content", ['{"lm_weight": 1}', '{"lm_weight": 1, "word_score": "x"}', '{"lm_weight": true, "word_score": 1}']
)
def test_weights_that_are_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "lm.json").write_text(content)
    with pytest.raises(LanguageModelError, match="needs the numbers lm_weight and word_score"):
        load(tmp_path, OF_WORDS, SMALL)


def test_marks_of_sentences_in_a_lexicon_are_no_words(tmp_path: Path) -> None:
    marked = replace(SMALL, labels=["<pad>", "|", "A", "B", "<s>"])
    model = load(tmp_path, OF_WORDS, marked, "<s>\n</s>\n<unk>\nab\n")
    assert [columns for _, columns in model.spellings or ()] == [[2, 3]]
