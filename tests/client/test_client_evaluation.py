"""Manifests, scores and reports."""

from pathlib import Path

import pytest
from asr_client import InvalidManifest, _columns, manifest
from asr_client.commands.report import Item, Report, percent
from asr_client.scoring import Score, normalize, score, total
from hypothesis import given, settings
from hypothesis import strategies as st


def read(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    file = tmp_path / "manifest"
    file.write_text(text, encoding="utf-8")
    return [(entry.audio, entry.text) for entry in manifest.read(file)]


@pytest.mark.parametrize(
    "text",
    [
        "audio\ttext\na.wav\thello\nb.wav\t\n",
        "\ufeffaudio\ttext\r\na.wav\thello\r\n\r\nb.wav\t\r\n",
        "voice\ttext\taudio\nx\thello\ta.wav\ny\t\tb.wav",
        '{"audio": "a.wav", "text": "hello"}\n\n{"audio": "b.wav", "text": "", "voice": 1}\n',
    ],
)
def test_manifests(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == [("a.wav", "hello"), ("b.wav", "")]


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x0b", "\x0c", "\r"])
def test_only_a_newline_ends_a_line(tmp_path: Path, mark: str) -> None:
    assert read(tmp_path, f"audio\ttext\r\na.wav\tone{mark}two\r\n") == [("a.wav", f"one{mark}two")]


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    file = tmp_path / "m.tsv"
    file.write_text("audio\ttext\nsub/a.wav\tx\n/b.wav\ty\n")
    assert [entry.path for entry in manifest.read(file)] == [tmp_path / "sub/a.wav", Path("/b.wav")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; needs a header"),
        ("audio\ttext\n", "has a header but no recordings"),
        ("a.wav\thello\n", r"line 1: header is .*; needs columns audio and text"),
        ("audio\ttext\na.wav hello\n", r"line 2: has 1 column\(s\), the header 2"),
        ("audio\ttext\n\na.wav\tb\tc\n", r"line 3: has 3 column\(s\)"),
        ("audio\ttext\n \thello\n", "line 2: audio is empty"),
        ('{"audio": "a.wav", "text": "x"}\n{"audio": \n', "line 2: not JSON"),
        ('{"audio": "a.wav"}', "line 1: text is None; needs a string"),
        ('{"audio": 1, "text": "x"}', "line 1: audio is 1; needs a string"),
        ('{"audio": "a", "text": "x"}\n[]', "line 2: is list; needs an object"),
    ],
)
def test_malformed_manifests_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidManifest, match=message):
        read(tmp_path, text)


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="cannot read manifest"):
        manifest.read(tmp_path / "none.tsv")


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
    ],
)
def test_normalize(text: str, normal: str) -> None:
    assert normalize(text) == normal


@settings(deadline=None)
@given(st.text("aZ '\u2019.-ß\u0130ﬁ$5\u0345\u0301", max_size=20))
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


def test_total_of_nothing_is_no_rate() -> None:
    assert percent(total([]).wer) == "n/a"


REPORT = Report(
    [
        Item("good.wav", "a b c", "a b c", Score(0, 3, 0, 5), 0.9, 2.0),
        Item("bad.wav", "a b c", "a", Score(2, 3, 4, 5), 0.5, 2.0),
        Item("noise.wav", "", "uh", Score(1, 0, 2, 0), 0.1, 2.0),
        Item("gone.wav", "a", error="no such file"),
    ],
    wall_s=0.5,
)


def test_summary_ends_with_the_total() -> None:
    assert REPORT.summary() == [
        "CER 60.0 %; 6.0 s of audio in 0.5 s (RTFx 12.0)",
        "total WER 50.0 %  (6 words, 3 of 4 files, 1 failed)",
    ]
    assert Report(REPORT.items[:2], 1).summary()[-1] == "total WER 33.3 %  (6 words, 2 files)"


def test_worst_first_and_good_ones_never() -> None:
    assert [item.audio for item in REPORT.worst(9)] == ["noise.wav", "bad.wav"]
    assert REPORT.worst(0) == []


def test_table_has_a_row_for_each_file_and_wraps_long_transcripts() -> None:
    long = Item("long.wav", "x", "word " * 30, Score(1, 1, 99, 1))
    lines = Report([*REPORT.items, long], 1).table(60)
    assert lines[0].split() == ["file", "transcript", "WER"]
    assert lines[2].split() == ["good.wav", "a", "b", "c", "0.0", "%"]
    assert lines[5].split()[-1] == "failed"
    assert "no such file" in lines[5]
    assert len(lines) > 2 + 5
    assert max(map(len, lines)) <= 60


def test_table_is_straight_where_characters_take_two_columns() -> None:
    lines = Report([Item("六.wav", "x", "们她" * 30, Score(1, 1, 9, 1))], 1).table(60)
    assert lines[2].split()[:2] == ["六.wav", "们她" * 10 + "们"]
    assert max(map(_columns.width, lines)) == 60


def test_json_has_figures_and_items() -> None:
    data = REPORT.to_json()
    assert (data["wer"], data["files"], data["failed"], data["rtfx"]) == (0.5, 4, 1, 12.0)
    assert data["items"][3] == {
        "audio": "gone.wav",
        "reference": "a",
        "transcript": None,
        "wer": None,
        "cer": None,
        "confidence": None,
        "duration": None,
        "error": "no such file",
    }
