"""The one definition of a word error."""

import pytest
from asr_contract.word_errors import compare, normalize, score, total
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Hello,  WORLD!", "hello world"),
        ("Don't stop", "don't stop"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t", "don't"),
        ("'quoted' rock 'n' roll", "quoted rock n roll"),
        ("well-known", "well known"),
        ("Straße", "strasse"),
        ("a \N{EM DASH} b … $5", "a b 5"),
        ("'", ""),
        ("geht\N{ACUTE ACCENT}s O\N{MODIFIER LETTER APOSTROPHE}Neill l`eau", "geht's o'neill l'eau"),
        ("co\N{SOFT HYPHEN}operate \N{ZERO WIDTH SPACE}now", "cooperate now"),
        ("ﬁve \N{FULLWIDTH DIGIT TWO} Ⅳ", "five 2 iv"),
        ("हिन्दी, かな。", "हिन्दी かな"),
        ("1,000.5 U.S.A.", "1 000 5 u s a"),
    ],
)
def test_normalize(text: str, normal: str) -> None:
    assert normalize(text) == normal


@settings(deadline=None)
@given(st.text("aZ '\u2019\u00b4`.-ß\u0130ﬁ$5\u0345\u0301\u00ad\u200d", max_size=20))
def test_normalize_is_idempotent(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)


@pytest.mark.parametrize(
    ("reference", "transcript", "wer", "cer"),
    [
        ("a b c d", "a x c", 0.5, 3 / 7),
        ("a b", "a b", 0.0, 0.0),
        ("a", "a b c", 2.0, 4.0),
        ("a b", "", 1.0, 1.0),
        ("", "", None, None),
        ("", "a b", None, None),
    ],
)
def test_score(reference: str, transcript: str, wer: float | None, cer: float | None) -> None:
    result = score(reference, transcript)
    assert (result.wer, result.cer) == (wer, cer)


def test_words_where_nothing_was_said_count_as_errors() -> None:
    assert total([score("", "a b"), score("a b c d", "a b c d")]).wer == 0.5


def test_pairs_are_compared_without_case_and_punctuation() -> None:
    found = compare([("Well-known: it\N{RIGHT SINGLE QUOTATION MARK}s", "well known its"), ("…", "")])
    assert (found.word_errors, found.words) == (1, 3)
