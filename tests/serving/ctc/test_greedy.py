"""The decode step's pure part: log-probs -> text, confidence, words."""

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from asr_contract.labels import Labels
from asr_serving.ctc import greedy
from asr_serving.ctc.hypotheses import Hypothesis
from decode import decode
from hypothesis import given
from hypothesis import strategies as st

LABELS = Labels(
    labels=["<pad>", "|", "A", "B", "C"],
    blank=0,
    delimiter=1,
    lowercase=False,
    clean_up_spaces=False,
    sampling_rate=16_000,
    stride_samples=320,
    receptive_field_samples=400,
)


def path(columns: str, width: int | None = None, probability: float = 0.9) -> np.ndarray:
    """Log-probs whose best path is `columns`, written with '-' for the blank; padded to `width` with label C."""
    names = "-|ABC"
    rest = (1 - probability) / (len(names) - 1)
    rows = [
        [np.log(probability if name == wanted else rest) for name in names] for wanted in columns.ljust(width or 0, "C")
    ]
    return np.array(rows, dtype=np.float32)


def decode_one(columns: str, labels: Labels = LABELS) -> Hypothesis:
    return decode([path(columns)], [len(columns)], labels)[0]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ("AABB", "AB"),
        ("A-A", "AA"),
        ("AA-AA", "AA"),
        ("-A-|-B-", "A B"),
        ("|A|", "A"),
        ("A||B", "A B"),
        ("----", ""),
        ("A", "A"),
        ("|", ""),
    ],
)
def test_repeats_merge_and_blanks_go(columns: str, text: str) -> None:
    assert decode_one(columns).text == text


def test_padding_is_not_heard() -> None:
    items = [path("AB", width=9), path("C-|-CC-A", width=11), path("A", width=1)]
    assert [h.text for h in decode(items, [2, 8, 1], LABELS)] == ["AB", "C CA", "A"]


def test_a_run_does_not_reach_into_the_next_item() -> None:
    assert [h.text for h in decode([path("AA"), path("AA")], [2, 2], LABELS)] == ["A", "A"]


def test_words_have_the_times_of_their_labels_widened_to_their_edges() -> None:
    first, second = decode_one("--AA-B-||--C-").words
    assert (first.word, second.word) == ("AB", "C")
    assert (first.start, first.end) == pytest.approx((0.0125, 0.1425), abs=1e-3)
    assert (second.start, second.end) == pytest.approx((0.1925, 0.2625), abs=1e-3)


def test_words_do_not_reach_into_each_other_nor_beyond_the_recording() -> None:
    first, second = decode_one("A|C").words
    assert (first.start, second.end) == pytest.approx((0.0025, 0.0625), abs=1e-3)
    assert first.end == second.start


def test_confidence_is_the_mean_posterior_of_what_was_emitted() -> None:
    log_probs = np.concatenate([path("A", probability=0.6), path("--", probability=0.99), path("B", probability=0.8)])
    hypothesis = decode([log_probs], [4], LABELS)[0]
    assert hypothesis.confidence == pytest.approx(0.7, abs=1e-6)
    assert hypothesis.words[0].confidence == pytest.approx(0.7, abs=1e-4)


def test_silence_is_as_sure_as_its_blanks() -> None:
    assert decode_one("----").confidence == pytest.approx(0.9, abs=1e-6)


def test_without_a_delimiter_every_label_is_a_word() -> None:
    assert [word.word for word in decode_one("A-BC", replace(LABELS, delimiter=None)).words] == ["A", "B", "C"]


def test_lower_case_and_clean_up_follow_the_tokenizer() -> None:
    labels = replace(LABELS, labels=["<pad>", "|", "IT", "'S", "."], lowercase=True, clean_up_spaces=True)
    assert decode_one("A|B|C", labels).text == "it's."


def test_nan_is_told_for_its_item_alone() -> None:
    broken = path("AB")
    broken[1, 3] = np.nan
    first, second = decode([broken, path("C")], [2, 1], LABELS)
    assert np.isnan(first.confidence)
    assert second.text == "C"


@pytest.mark.parametrize(("columns", "frames"), [("AB", 3), ("AB", 0)])
def test_a_frame_count_that_does_not_fit_is_refused(columns: str, frames: int) -> None:
    with pytest.raises(ValueError, match="frames"):
        greedy.check(path(columns), frames, LABELS)


def test_a_foreign_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs \[frames or more, 5\]"):
        greedy.check(np.zeros((4, 7), np.float32), 4, LABELS)


@given(st.lists(st.text("-|ABC", min_size=1, max_size=12), min_size=1, max_size=6))
def test_a_batch_equals_its_items_and_the_definition(batch: list[str]) -> None:
    width = max(map(len, batch))
    together = decode([path(item, width) for item in batch], [len(item) for item in batch], LABELS)
    for item, hypothesis in zip(batch, together, strict=True):
        merged = "".join(name for name, _ in itertools.groupby(item) if name != "-")
        assert hypothesis.text == merged.replace("|", " ").strip()
        assert hypothesis == decode_one(item)


def test_labels_survive_a_file(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(asdict(LABELS)), encoding="utf-8")
    assert Labels.load(file) == LABELS


@pytest.mark.parametrize(("change", "message"), [({"speed": 1}, "needs"), ({"blank": 9}, "blank is 9")])
def test_a_wrong_labels_file_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    file = tmp_path / "labels.json"
    file.write_text(json.dumps({**asdict(LABELS), **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        Labels.load(file)


PIECES = replace(LABELS, labels=["<blk>", "▁", "▁th", "e", "▁s"], delimiter=None, word_start="▁")


@pytest.mark.parametrize(
    ("columns", "text", "words"),
    [
        ("A-B-C", "the s", ["the", "s"]),
        ("B-A", "e th", ["e", "th"]),  # a recording may begin within a word
        ("|BC", "e s", ["e", "s"]),
        ("A|", "th", ["th"]),
        ("A|B", "th e", ["th", "e"]),
        ("|", "", []),
        ("----", "", []),
    ],
)
def test_pieces_make_words(columns: str, text: str, words: list[str]) -> None:
    heard = decode_one(columns, PIECES)
    assert (heard.text, [word.word for word in heard.words]) == (text, words)


@given(st.text("-|ABC", min_size=1, max_size=40))
def test_words_of_pieces_are_those_of_the_text_and_lie_in_order(columns: str) -> None:
    heard = decode_one(columns, PIECES)
    assert [word.word for word in heard.words] == heard.text.split()
    times = [time for word in heard.words for time in (word.start, word.end)]
    assert times == sorted(times)
