"""Subtitles and tables that players and parsers elsewhere have stumbled over; docs/compatibility.md has the sources."""

import json
import re

import pytest
from asr_client import Transcription, Word, formats


def spoken(*words: str, seconds: float = 0.5) -> Transcription:
    """Words one after the other, without pauses."""
    timed = [Word(word, index * seconds, (index + 1) * seconds, 0.5) for index, word in enumerate(words)]
    return Transcription(" ".join(words), 0.5, len(words) * seconds, tuple(timed))


def srt_cues(text: str) -> list[list[str]]:
    """The lines of each cue, as parsers read SubRip: a blank line ends a cue, whatever stands for a line's end."""
    cues, lines = [], iter([*text.splitlines(), ""])
    for number in lines:
        assert re.fullmatch(r"\d+", number), number
        assert re.fullmatch(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}", next(lines))
        cues.append(list(iter(lambda: next(lines), "")))
        if len(cues) == text.count(" --> "):
            break
    return cues


@pytest.mark.parametrize(
    ("format", "line"), [("srt", "from a -> to b"), ("vtt", "from a --&gt; to b"), ("tsv", "0\t2500\tfrom a --> to b")]
)
def test_an_arrow_in_the_text_makes_no_line_of_times(format: formats.Format, line: str) -> None:
    lines = formats.render(spoken("from", "a", "-->", "to", "b"), format).splitlines()
    assert lines[-1] == line
    assert "-->" not in "".join(lines[-1:]) or format == "tsv"  # which has its times in columns of their own


@pytest.mark.parametrize("end", ["\n\n", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\t", " \n "])
def test_a_line_end_in_a_word_ends_neither_line_nor_cue(end: str) -> None:
    heard = spoken("one", f"two{end}three", "four")
    assert srt_cues(formats.render(heard, "srt")) == [["one two three four"]]
    assert formats.render(heard, "tsv") == "start\tend\ttext\n0\t1500\tone two three four\n"
    assert formats.render(heard, "vtt").splitlines()[3:] == ["one two three four"]


@pytest.mark.parametrize("empty", ["", " ", "\n", "\u00a0"])
def test_a_word_of_nothing_makes_no_cue_and_no_row(empty: str) -> None:
    words = (Word(empty, 0.0, 0.5, 0.5), Word("heard", 3.0, 4.0, 0.5), Word(empty, 8.0, 9.0, 0.5))
    heard = Transcription("heard", 0.5, 9.0, words)
    assert formats.render(heard, "srt") == "1\n00:00:03,000 --> 00:00:04,000\nheard\n"
    assert formats.render(heard, "vtt") == "WEBVTT\n\n00:00:03.000 --> 00:00:04.000\nheard\n"
    assert formats.render(heard, "tsv") == "start\tend\ttext\n3000\t4000\theard\n"
    assert formats.render(heard, "ctm", name="a") == "a 1 3.000 1.000 heard 0.500\n"


def test_nothing_heard_makes_no_cue() -> None:
    assert formats.cues(Transcription(" \n", 0.5, 9.0)) == []


@pytest.mark.parametrize("format", ["srt", "vtt", "tsv"])
def test_no_break_spaces_right_to_left_and_emoji_stay(format: formats.Format) -> None:
    words = ["«\u00a0oui\u00a0»", "שלום", "مرحبا", "👩\u200d👩\u200d👧", "🇨🇭"]
    assert " ".join(words) in formats.render(spoken(*words), format)


def test_after_a_hundred_hours_there_are_three_digits() -> None:
    late = Transcription("late", 0.5, 4e5, (Word("late", 100 * 3600 + 0.5, 100 * 3600 + 2, 0.5),))
    assert "\n100:00:00,500 --> 100:00:02,000\n" in formats.render(late, "srt")
    assert "\n100:00:00.500 --> 100:00:02.000\n" in formats.render(late, "vtt")


def test_markup_is_text_in_vtt() -> None:
    lines = formats.render(spoken("AT&T", "<i>", "&amp;"), "vtt").splitlines()
    assert lines[-1] == "AT&amp;T &lt;i&gt; &amp;amp;"


def test_json_lines_stay_lines_for_readers_that_split_at_unicode_line_ends() -> None:
    heard = spoken("one\u2028two\x85three")
    (line,) = formats.render(heard, "json").splitlines()
    assert json.loads(line)["text"] == heard.text
