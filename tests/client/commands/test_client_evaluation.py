"""Reports of evaluations."""

from pathlib import Path

import pytest
from asr_client import InvalidManifest, _columns, manifest
from asr_client.commands.report import Item, Report, percent
from asr_contract.word_errors import Score, total


@pytest.mark.parametrize(
    ("text", "message"), [(None, "cannot read manifest"), ("audio\ttext\na.wav hello\n", "line 2: has 1 column")]
)
def test_a_manifest_that_cannot_be_used(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "manifest.tsv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidManifest, match=message):
        manifest.read(file)


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
