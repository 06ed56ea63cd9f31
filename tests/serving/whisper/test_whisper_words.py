"""Division of tokens into words, against transformers' functions, with tokens that are bytes."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from asr_serving.whisper.words import attach_punctuation, divide
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.whisper.tokenization_whisper import _combine_tokens_into_words


@dataclass(frozen=True)
class Bytes:
    """A byte-level tokenizer: what transformers' functions ask of one."""

    vocabulary: list[bytes]
    language: str | None = None

    @property
    def eos_token_id(self) -> int:
        return len(self.vocabulary)

    def decode(self, tokens: list[int], decode_with_timestamps: bool = False) -> str:
        return b"".join(self.vocabulary[token] for token in tokens).decode(errors="replace")


def cut(text: str, places: list[int]) -> list[bytes]:
    """The bytes of a text, cut at some places."""
    data = text.encode()
    edges = sorted({0, *(place % len(data) for place in places), len(data)})
    return [data[start:end] for start, end in pairwise(edges)]


def words(pieces: list[bytes], language: str | None = None) -> list[str]:
    """The words of a text whose tokens are `pieces`, with punctuation attached."""
    found = divide(range(len(pieces)), Bytes(pieces).decode, language)
    return [text for text in attach_punctuation([word.text for word in found]) if text]


texts = st.text(st.sampled_from("ab .,-'\"“”¿?!()[{:、。，字あßé🙂"), min_size=1, max_size=20)  # noqa: RUF001


@given(texts, st.lists(st.integers(0, 80)), st.sampled_from([("english", "en"), ("japanese", "ja")]))
def test_words_are_the_references(text: str, places: list[int], language: tuple[str, str]) -> None:
    pieces = cut(text, places)
    expected, _, _ = _combine_tokens_into_words(Bytes(pieces), list(range(len(pieces))), language[0])
    assert words(pieces, language[1]) == expected


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=12), st.sampled_from(["en", "ja"]))
def test_no_token_is_lost_where_bytes_are_no_text(pieces: list[bytes], language: str) -> None:
    """The reference loses all words after some of these (faster-whisper: IndexError)."""
    found = divide(range(len(pieces)), Bytes(pieces).decode, language)
    assert [index for word in found for index in range(word.first, word.end)] == list(range(len(pieces)))
    assert "".join(word.text for word in found) == Bytes(pieces).decode(list(range(len(pieces))))


def test_a_character_that_no_token_completes_takes_no_words_with_it() -> None:
    # E5 AD begins 字, and is cut off; the reference would answer one word, "\ufffd".
    assert words([b" a", b" \xe5", b"\xad", b" b", b" c"]) == [" a", " \ufffd", " b", " c"]


def test_a_character_of_several_tokens_is_one() -> None:
    assert words([b"\xe5", b"\xad", b"\x97", b"\xf0\x9f", b"\x99", b"\x82"], "zh") == ["字", "🙂"]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b" do", b"n", b"'t"], [" don't"], id="apostrophe"),
        pytest.param([b" He", b",", b' "', b"no", b".", b'"'], [" He,", ' "no."'], id="quotes"),
        pytest.param([b" no", b".", "”".encode()], [" no", ".”"], id="a curly quote after a mark, as in the reference"),
        pytest.param([b" (", b"a", b")", b" [", b"b", b"]"], [" (a)", " [b]"], id="brackets"),
        pytest.param([b" one", b"...", b" two", b"?!"], [" one...", " two?!"], id="many marks"),
        pytest.param([b" 10", b",", b"000"], [" 10", ",000"], id="a mark within a number, as in the reference"),
        pytest.param([b" co", b"-", b"op"], [" co", "-op"], id="a hyphen, as in the reference"),
        pytest.param([b"...", b" So"], ["...", " So"], id="marks first"),
        pytest.param([b" "], [" "], id="a space alone"),
        pytest.param([b" ", b" a"], ["  a"], id="a space of its own"),
        pytest.param([b" -", b" Yes", b"."], [" - Yes."], id="a dash with a space before the word"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_punctuation(pieces: list[bytes], expected: list[str]) -> None:
    assert words(pieces, "en") == expected


def test_a_checkpoint_of_one_language_is_written_with_spaces() -> None:
    assert words([b" a", b"b", b" c"], None) == [" ab", " c"]


@pytest.mark.parametrize("language", ["zh", "ja", "th", "lo", "my", "yue"])
def test_languages_without_spaces_are_divided_by_characters(language: str) -> None:
    assert words([b"a", b"b", "字。".encode(), "、".encode()], language) == ["a", "b", "字。、"]
