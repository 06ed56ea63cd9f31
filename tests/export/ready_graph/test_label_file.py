"""A file of labels: which column is what."""

from pathlib import Path

import pytest
from asr_export import GraphError
from asr_export.ready_graph.label_file import name_columns, read, word_boundaries


def write(tmp_path: Path, content: str | bytes, name: str = "labels.txt") -> Path:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("_\na\nb\n", ["_", "a", "b"]),
        ("_\na\nb", ["_", "a", "b"]),
        ("_\r\na\r\n", ["_", "a"]),
        ("\ufeff_\né\n", ["_", "é"]),
        (" \na\n'\n", [" ", "a", "'"]),  # NeMo's characters: a space is a label
        ("a\u2028\nb\x0c\n", ["a\u2028", "b\x0c"]),  # no line ends, though Python takes them for such
        ("<blank> 0\n<unk> 1\n▁the 2\n", ["<blank>", "<unk>", "▁the"]),  # WeNet's units.txt
        ("b 1\n<blk> 0\n", ["<blk>", "b"]),
        ("  0\na 1\n", [" ", "a"]),
        ("<blk>\nroute 66\n", ["<blk>", "route 66"]),  # not every line has an index
    ],
)
def test_what_a_file_says(content: str, labels: list[str], tmp_path: Path) -> None:
    assert read(write(tmp_path, content)) == labels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; needs one label a line"),
        ("a\n\nb\n", "line 2 is empty"),
        ("_\na\nb\na\n", "columns 1 and 3 are both 'a'"),
        ("a 0\nb 2\n", "column 1 is missing or there twice; needs 0 to 1"),
        ("a 0\nb 0\n", "column 1 is missing or there twice"),
        (b"\xff\xfe\x00", "cannot read .*needs UTF-8 text"),
    ],
)
def test_what_no_file_may_be(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=message):
        read(write(tmp_path, content))


def test_files_of_another_kind_and_of_none(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="is JSON; needs a text file"):
        read(write(tmp_path, "{}", "vocab.json"))
    with pytest.raises(GraphError, match="No such file"):
        read(tmp_path / "nowhere.txt")


@pytest.mark.parametrize(
    ("labels", "columns", "wanted", "blank"),
    [
        (["<blk>", "a"], 2, None, 0),
        (["a", "<pad>"], 2, None, 1),
        (["a", "[PAD]", "b"], 3, None, 1),
        (["_", "a"], 2, None, 0),
        (["<pad>", "<blk>", "a"], 3, "<blk>", 1),
        (["a", "b"], 2, "1", 1),
        (["1", "0"], 2, "0", 0),  # digits are a column
        (["x", "b"], 2, "x", 0),
    ],
)
def test_the_blank(labels: list[str], columns: int, wanted: str | None, blank: int) -> None:
    assert name_columns(labels, columns, wanted) == (labels, blank)


def test_a_blank_that_is_last_and_has_no_label() -> None:
    assert name_columns([" ", "a"], 3, "2") == ([" ", "a", "<blank>"], 2)


@pytest.mark.parametrize(
    ("labels", "columns", "wanted", "message"),
    [
        (["a", "b"], 2, None, "the labels hold none: name the blank with --blank, .* from 0 to 2"),
        (["<pad>", "<blk>"], 2, None, "the labels hold <pad> and <blk>: name the blank"),
        (["a", "b"], 3, None, "has 3 columns, the file 2 labels; needs as many; if the blank is the last .* --blank 2"),
        (["a", "b", "_"], 2, None, "has 2 columns, the file 3 labels; needs as many$"),
        (["a", "b"], 2, "2", "has 2 columns, the file 2 labels and the blank of --blank 2"),
        (["a", "b"], 2, "3", "--blank is 3; needs a column from 0 to 2 or one of the labels"),
        (["a", "b"], 2, "<blk>", "--blank is '<blk>', which is none of the labels: a b"),
        (["a", "b"], 2, "-1", "--blank is '-1', which is none"),
    ],
)
def test_no_telling_the_blank(labels: list[str], columns: int, wanted: str | None, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        name_columns(labels, columns, wanted)


@pytest.mark.parametrize(
    ("labels", "wanted", "expected"),
    [
        (["_", "|", "a"], None, (1, None)),
        (["_", "a", " "], None, (2, None)),
        (["_", "<space>", "a"], None, (1, None)),
        (["_", "▁the", "a"], None, (None, "▁")),
        (["_", "▁", "a"], None, (None, "▁")),
        (["_", "▁", "a"], "▁", (None, "▁")),
        (["_", "|", "▁a"], None, (1, None)),
        (["_", "一", "二"], None, (None, None)),
        (["_", "#", "|"], "#", (1, None)),
        (["_", "|", "▁a"], "▁", (None, "▁")),
    ],
)
def test_what_is_between_words(labels: list[str], wanted: str | None, expected: tuple[int | None, str | None]) -> None:
    assert word_boundaries(labels, wanted) == expected


def test_a_delimiter_that_is_no_label() -> None:
    with pytest.raises(GraphError, match=r"--delimiter is '/', which is none of the labels: _ \| a"):
        word_boundaries(["_", "|", "a"], "/")
