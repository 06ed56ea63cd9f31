"""Hotwords found in log-probs, against the definition on small cases."""

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace

import numba
import numpy as np
import pytest
from asr_contract.errors import ParameterError
from asr_contract.parameters import DecodeOptions, read
from asr_serving.ctc import hotwords, spotting
from asr_serving.ctc.decoding import Decoder
from asr_serving.ctc.hotwords import Hotword, HotwordTree
from asr_serving.ctc.spelling import Speller, UnknownCharacters
from asr_serving.ctc.spotting import NEAR_FRAMES, align, search
from decode import decode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.ctc.test_greedy import LABELS, PIECES, path

LETTERS = replace(LABELS, labels=["<pad>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"])


def speech(text: str, heard: dict[str, str] | None = None, probability: float = 0.6) -> np.ndarray:
    """Log-probs of a text, two frames a label and a blank; each letter of `heard` loses to another one, but is second.

    The upper-case letters of the text are labels; of `heard` every occurrence counts.
    """
    columns = {label: column for column, label in enumerate(LETTERS.labels)}
    rows = []
    for character in text.replace(" ", "|"):
        for column in (columns[character], columns[character], 0):
            row = np.full(len(columns), 1e-4)
            row[column] = 1
            if column and heard and character in heard:
                row[column], row[columns[heard[character]]] = 1 - probability, probability
            rows.append(row / row.sum())
    return np.log(np.array(rows, dtype=np.float32))


def text(log_probs: np.ndarray, wished: str = "", weight: float = 2.0) -> str:
    (heard,) = decode([log_probs], [len(log_probs)], LETTERS, hotwords=wished, hotword_weight=weight)
    return heard.text


MISHEARD = speech("MISTER QUILTER SPEAKS", {"U": "O", "T": "D"})


def test_a_name_that_was_misheard_comes_out_right() -> None:
    assert text(MISHEARD) == "MISDER QOILDER SPEAKS"
    assert text(MISHEARD, "quilter, acme") == "MISDER QUILTER SPEAKS"
    assert text(MISHEARD, "Mister Quilter") == "MISTER QUILTER SPEAKS"


@pytest.mark.parametrize("name", ["acme", "QUIT", "SPEAK", "TER", "ISTER", "R SPEAKS"])
def test_what_was_not_said_changes_nothing(name: str) -> None:
    assert text(MISHEARD, name) == text(MISHEARD)


@pytest.mark.parametrize("name", ["MISTER", "SPEAKS", "Quilter Speaks"])
def test_first_and_last_words_need_no_delimiter(name: str) -> None:
    assert name.upper() in text(MISHEARD, name)
    assert len(text(MISHEARD, name).split()) == 3


def test_a_weight_of_its_own_decides() -> None:
    log_probs = speech("THE QUILT", {"U": "O"}, probability=0.9)
    assert text(log_probs, "QUILT^1") == "THE QOILT"
    assert text(log_probs, "QUILT^5") == "THE QUILT"


def test_two_words_that_were_run_together_are_parted() -> None:
    log_probs = speech("THE QUILT")
    log_probs[10, 1], log_probs[9, 1] = np.log(0.3), np.log(0.3)
    log_probs[9:11, 0] = np.log(0.7)
    assert text(log_probs) == "THEQUILT"
    assert text(log_probs, "QUILT") == "THE QUILT"


def test_neighbours_do_not_contend_for_the_delimiter_between_them() -> None:
    """To close a hotword late must not pay: it would take the first frames of the next one."""
    log_probs = speech("OUR GOOD SINGER", {"E": "A"}, probability=0.85)
    space, last = LETTERS.labels.index("|"), LETTERS.labels.index("D")
    first = np.flatnonzero(log_probs.argmax(axis=1) == space)[-2]  # of the frames between the two
    log_probs[first - 1] = log_probs[first - 2]  # D, without a pause before the delimiter
    log_probs[first, last] = log_probs[first, space] - 0.1
    assert text(log_probs) == "OUR GOOD SINGAR"
    assert text(log_probs, "our, good, singer") == "OUR GOOD SINGER"


def test_a_name_does_not_win_by_what_it_shares_with_another() -> None:
    assert text(speech("ROBIN READS"), "ROBERT", weight=4) == "ROBIN READS"


def test_words_have_the_times_of_their_labels() -> None:
    (heard,) = decode([MISHEARD], [len(MISHEARD)], LETTERS, hotwords="quilter")
    (plain,) = decode([MISHEARD], [len(MISHEARD)], LETTERS)
    assert [word.word for word in heard.words] == ["MISDER", "QUILTER", "SPEAKS"]
    assert [(word.start, word.end) for word in heard.words] == [(word.start, word.end) for word in plain.words]
    assert heard.words[1].confidence < plain.words[1].confidence


def test_neighbours_of_a_batch_have_their_own_hotwords() -> None:
    decoder = Decoder(LETTERS)
    tasks = [
        decoder.task(MISHEARD, len(MISHEARD), DecodeOptions(hotwords=name))
        for name in ("quilter", "", "mister", "quilter")
    ]
    assert [result.best.text.split()[:2] for result in decoder.decode(tasks)] == [
        ["MISDER", "QUILTER"],
        ["MISDER", "QOILDER"],
        ["MISTER", "QOILDER"],
        ["MISDER", "QUILTER"],
    ]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from(["", "AB", "A,CB^6", "BA C,ABC"]), st.integers(0, 2**32 - 1)),
        min_size=2,
        max_size=6,
    )
)
def test_a_batch_equals_its_items(batch: list[tuple[int, str, int]]) -> None:
    items = []
    for frames, _, seed in batch:
        logits = 3 * np.random.default_rng(seed).standard_normal((frames, 5)).astype(np.float32)
        items.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    decoder = Decoder(LABELS)
    tasks = [
        decoder.task(item, len(item), DecodeOptions(hotwords=wished))
        for item, (_, wished, _) in zip(items, batch, strict=True)
    ]
    assert decoder.decode(tasks) == [decoder.decode([task])[0] for task in tasks]


def test_pieces_spell_words() -> None:
    assert Speller(PIECES).spell("the s") == [2, 3, 4]
    assert Speller(PIECES).spell("TH") == [2]
    assert Speller(PIECES).spell("e") == [1, 3]


@pytest.mark.parametrize(("name", "message"), [("Zürich", "'ü'"), ("R2D2", "'2'"), ("C++", r"'\+'")])
def test_characters_without_a_label_are_named(name: str, message: str) -> None:
    with pytest.raises(UnknownCharacters, match=f"{message} that this model has no labels for; .*ABC"):
        Speller(LETTERS).spell(name)
    decoder = Decoder(LETTERS)
    with pytest.raises(UnknownCharacters):
        decoder.task(MISHEARD, len(MISHEARD), DecodeOptions(hotwords=name))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hotwords": 3}, "hotwords is 3; needs words separated by commas"),
        ({"hotwords": "a^"}, "weight of hotword 'a' is ''; needs a number above 0"),
        ({"hotwords": "a^-1"}, "weight of hotword 'a' is '-1'"),
        ({"hotwords": "a^nan"}, "weight of hotword 'a' is 'nan'"),
        ({"hotwords": "^3"}, "hotword '\\^3'; needs WORD or WORD\\^WEIGHT"),
        ({"hotwords": "a" * 101}, "of 1 to 100 characters"),
        ({"hotwords": ",".join(["a"] * 10_001)}, "hotwords holds 10001 words; needs 10000 or fewer"),
        ({"hotword_weight": True}, "hotword_weight is True"),
        ({"hotword_weight": "many"}, "hotword_weight is 'many'"),
    ],
)
def test_what_is_wrong_is_named(parameters: dict[str, object], message: str) -> None:
    decoder = Decoder(LETTERS)
    with pytest.raises(ParameterError, match=message):
        decoder.task(MISHEARD, len(MISHEARD), read(parameters, "ctc"))


def test_hotwords_are_separated_by_commas_and_may_have_weights() -> None:
    assert hotwords.parse(" acme,, New   York ^ 5 ,", 4.0) == (
        Hotword("acme", 4.0),
        Hotword("New York", 5.0),
    )
    assert hotwords.parse("acme", 1.5) == (Hotword("acme", 1.5),)


def collapse(columns: tuple[int, ...], blank: int = 0) -> list[int]:
    return [column for column, _ in itertools.groupby(columns) if column != blank]


def by_definition(log_probs: np.ndarray, columns: list[int], weight: float) -> float:
    """The most that a hotword gains over the best path, over all of its alignments at all places."""
    relative = log_probs - log_probs.max(axis=1, keepdims=True)
    best = log_probs.argmax(axis=1)
    spoken = np.flatnonzero(best >= 2)
    frames = len(log_probs)
    gains = []
    for start, end in itertools.combinations(range(frames + 1), 2):
        for taken in itertools.product(range(log_probs.shape[1]), repeat=end - start):
            heard = collapse(taken)
            at_the_beginning = not len(spoken) or start <= spoken[0]
            if taken[0] == 0 or not (heard == [1, *columns] or (heard == columns and at_the_beginning)):
                continue
            entered = [
                (at, label)
                for at, label in zip(range(start, end), taken, strict=True)
                if label and (at == start or label != taken[at - start - 1])
            ]
            score = relative[range(start, end), list(taken)].sum()
            if len(spoken) and end <= spoken[-1]:
                score += relative[end, 1]
                entered.append((end, 1))
            near = NEAR_FRAMES
            lacking = [label for at, label in entered if label not in best[max(0, at - near) : at + near + 1]]
            needless = [
                at
                for at in range(start, end)
                if best[at] and (at == 0 or best[at] != best[at - 1]) and best[at] != taken[at - start]
                # A delimiter after the last label is the one that closes it.
                if not (best[at] == 1 and collapse(taken[: at - start + 1])[-len(columns) :] == columns)
            ]
            gains.append(score + weight * (len(lacking) + len(needless)))
    return max(gains, default=-np.inf)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.floats(0.5, 3), min_size=4, max_size=4), min_size=1, max_size=5),
    st.lists(st.integers(2, 3), min_size=1, max_size=2),
    st.floats(0.1, 2),
)
def test_the_search_finds_what_the_definition_says(rows: list[list[float]], columns: list[int], weight: float) -> None:
    labels = replace(LABELS, labels=["<pad>", "|", "A", "B"])
    probabilities = np.array(rows)
    log_probs = np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    name = "".join(labels.labels[column] for column in columns)
    found = search(HotwordTree([Hotword(name, weight)], labels), log_probs)
    expected = by_definition(log_probs, columns, weight)
    if expected < 1e-4:
        assert not found or expected > -1e-4
    else:
        assert max(one.gain for one in found) == pytest.approx(expected, abs=1e-4)
        assert all(collapse(tuple(one.path)) in ([1, *columns], columns) for one in found)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.floats(0.1, 3), min_size=4, max_size=4), min_size=1, max_size=6),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
)
def test_an_alignment_is_the_best_of_all(rows: list[list[float]], columns: list[int]) -> None:
    log_probs = np.log(np.array(rows, dtype=np.float32))
    ways = [way for way in itertools.product(range(4), repeat=len(rows)) if collapse(way) == columns]
    if not ways:
        with pytest.raises(ValueError, match="needs at least one each"):
            align(log_probs, columns, 0)
        return
    way = align(log_probs, columns, 0)
    assert collapse(tuple(way)) == columns
    score = log_probs[range(len(rows)), way].sum()
    assert score == pytest.approx(max(log_probs[range(len(rows)), list(other)].sum() for other in ways), abs=1e-4)


def test_many_hotwords_find_what_a_few_find() -> None:
    names = ["".join(letters) for letters in itertools.product("AEIOU", "BDGMR", "AEIOU", "LNST")]
    assert text(MISHEARD, ",".join([*names, "quilter"])) == "MISDER QUILTER SPEAKS"


def test_nan_is_told_and_nothing_is_found_in_it() -> None:
    broken = path("AB")
    broken[1, 3] = np.nan
    (heard,) = decode([broken], [2], LABELS, hotwords="AB")
    assert np.isnan(heard.confidence)


def test_log_probs_may_lie_in_memory_that_is_not_ours() -> None:
    theirs = np.asfortranarray(MISHEARD)
    theirs.flags.writeable = False
    assert text(theirs, "quilter") == "MISDER QUILTER SPEAKS"


def test_without_their_package_hotwords_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asr_serving.ctc.spotting", None)
    monkeypatch.delattr("asr_serving.ctc.spotting", raising=False)
    assert text(MISHEARD) == "MISDER QOILDER SPEAKS"
    with pytest.raises(ValueError, match="hotwords need the package numba"):
        text(MISHEARD, "quilter")


def test_the_search_is_compiled_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = numba.njit

    def refusing(signature: str, cache: bool = False, **options: bool) -> Callable[..., object]:
        if cache:
            raise RuntimeError("cannot cache function: no locator available for file")
        return njit(signature, **options)

    monkeypatch.setattr(numba, "njit", refusing)
    twice = spotting._compiled("i8(i8)")(lambda number: 2 * number)
    assert twice(21) == 42
