"""Text in columns."""

import pytest
from asr_client import _columns
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("abc", 3),
        ("六她", 4),
        ("ｶﾞ", 2),
        ("\uff27", 2),
        ("e\u0301", 1),
        ("สวัสดี", 4),
        ("가", 2),
        ("👍", 2),
        ("a\u200bb", 2),
    ],
)
def test_width(text: str, columns: int) -> None:
    assert _columns.width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("the quick brown fox", 10, ["the quick", "brown fox"]),
        ("六她们她们", 4, ["六她", "们她", "们"]),
        ("六她。们", 4, ["六", "她。", "们"]),  # no line begins with a full stop
        ("六「她」", 4, ["六", "「她", "」"]),  # what cannot be kept together is cut
        ("六「她」", 6, ["六", "「她」"]),
        ("コーヒー", 4, ["コー", "ヒー"]),
        ("六六って", 4, ["六", "六っ", "て"]),
        ("用Python写", 7, ["用", "Python", "写"]),
        ("안녕하세요 세계", 12, ["안녕하세요", "세계"]),  # Hangul breaks at spaces
        ("longest", 3, ["lon", "ges", "t"]),
        ("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"]),
        ("👨\u200d👩 👍🏽", 4, ["👨\u200d👩", "👍🏽"]),
        ("", 10, []),
    ],
)
def test_wrap(text: str, columns: int, lines: list[str]) -> None:
    assert _columns.wrap(text, columns) == lines


def test_balanced_lines_cut_no_word_that_fits() -> None:
    assert _columns.balanced(_columns.atoms("x" * 41 + " yyy", 42), 42) == ["x" * 41, "yyy"]
    assert _columns.balanced(_columns.atoms("the quick brown fox jumps over", 29), 29) == [
        "the quick brown",
        "fox jumps over",
    ]


@pytest.mark.parametrize(("columns", "kept"), [(0, ""), (1, ""), (2, "们"), (3, "们"), (5, " 六们"), (6, "a 六们")])
def test_end(columns: int, kept: str) -> None:
    assert _columns.end("a 六们", columns) == kept


@given(st.text("ab六、é\u0301가 ", max_size=80), st.integers(2, 20))
def test_nothing_is_lost_and_lines_are_as_full_as_they_can_be(text: str, columns: int) -> None:
    lines = _columns.wrap(text, columns)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(_columns.width(line) <= columns for line in lines)
    assert len(_columns.balanced(_columns.atoms(text, columns), columns)) == len(lines)
