"""Transcriptions as files."""

import itertools
import json
import re
import struct

import pytest
from asr_client import Transcription, Word, _columns, formats
from hypothesis import given, settings
from hypothesis import strategies as st

TWO = Transcription("hi <you>", 0.5, 9.0, (Word("hi", 0.1, 0.3, 0.9), Word("<you>", 3661.5, 3662.75, 0.25)))
EMPTY = Transcription("", 0.0, 2.0)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("txt", "hi <you>\n"),
        ("srt", "1\n00:00:00,100 --> 00:00:01,100\nhi\n\n2\n01:01:01,500 --> 01:01:02,750\n<you>\n"),
        (
            "vtt",
            "WEBVTT\n\n00:00:00.100 --> 00:00:01.100\nhi\n\n01:01:01.500 --> 01:01:02.750\n&lt;you&gt;\n",
        ),
        ("tsv", "start\tend\ttext\n100\t1100\thi\n3661500\t3662750\t<you>\n"),
        ("ctm", "a_b 1 0.100 0.200 hi 0.900\na_b 1 3661.500 1.250 <you> 0.250\n"),
    ],
)
def test_format(format: formats.Format, text: str) -> None:
    assert formats.render(TWO, format, name="a b") == text


def test_json_holds_everything_on_one_line() -> None:
    text = formats.render(Transcription("größe", 0.5, 1.0, (Word("größe", 0.0, 1.0, 0.5),)), "json", name="a.wav")
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert "größe" in text
    assert json.loads(text) == {
        "audio": "a.wav",
        "text": "größe",
        "confidence": 0.5,
        "duration": 1.0,
        "words": [{"word": "größe", "start": 0.0, "end": 1.0, "confidence": 0.5}],
    }


@pytest.mark.parametrize(
    ("format", "text"), [("txt", "\n"), ("srt", ""), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n"), ("ctm", "")]
)
def test_silence(format: formats.Format, text: str) -> None:
    assert formats.render(EMPTY, format) == text


def test_text_without_words_is_one_cue() -> None:
    assert formats.cues(Transcription("hello there", 1.0, 2.5)) == [
        formats.Cue(0.0, 2.5, ("hello there",), "hello there")
    ]


def words(*times: tuple[float, float]) -> Transcription:
    spoken = tuple(Word(f"word{number}", start, end, 1.0) for number, (start, end) in enumerate(times))
    return Transcription(" ".join(word.word for word in spoken), 1.0, times[-1][1], spoken)


def test_a_pause_begins_a_cue() -> None:
    assert len(formats.cues(words((0.0, 0.5), (0.6, 1.0), (1.7, 2.0)))) == 2


def test_a_short_cue_lasts_until_the_next_at_most() -> None:
    first, second = formats.cues(words((0.0, 0.1), (0.8, 3.0)))
    assert (first.end, second.start) == (0.8, 0.8)


def test_lines_are_of_about_the_same_length() -> None:
    text = "the quick brown fox jumps over the lazy dog today"
    (cue,) = formats.cues(Transcription(text, 1.0, 3.0))
    assert cue.lines == ("the quick brown fox jumps", "over the lazy dog today")


def spoken(text: str, *said: str, each_s: float = 0.25) -> Transcription:
    """Words, one after the other, in a transcript that has this text."""
    words = tuple(Word(word, number * each_s, (number + 1) * each_s, 1.0) for number, word in enumerate(said))
    return Transcription(text, 1.0, len(said) * each_s, words)


CHINESE = "六她们她在北京的天气很好、我们今天去公园玩吧。"


@pytest.mark.parametrize(
    ("format", "text"),
    [
        (
            "srt",
            "1\n00:00:00,000 --> 00:00:05,750\n六她们她在北京的天气很\n好、我们今天去公园玩吧。\n",
        ),
        (
            "vtt",
            "WEBVTT\n\n00:00:00.000 --> 00:00:05.750\n六她们她在北京的天气很\n好、我们今天去公园玩吧。\n",
        ),
        ("tsv", f"start\tend\ttext\n0\t5750\t{CHINESE}\n"),
    ],
)
def test_words_without_spaces_between_them(format: formats.Format, text: str) -> None:
    assert formats.render(spoken(CHINESE, *CHINESE), format) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("六她 们", ["六", "她", "们"]),  # spaces are the text's own
        ("I don't", ["I", "do", "n't"]),
        ("用 Python写", ["用", "Python", "写"]),
        ("สวัสดีครับ", ["สวัสดี", "ครับ"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("hello there world", ["hello there", "world"]),  # segments
    ],
)
def test_spaces_are_those_of_the_text(text: str, said: list[str]) -> None:
    (cue,) = formats.cues(spoken(text, *said))
    assert cue.text == " ".join(cue.lines) == text


def test_words_that_are_not_the_text_s_own_are_joined_as_their_scripts_are() -> None:
    (cue,) = formats.cues(spoken("something else", "六", "她们", "OK", "now", "、", "はい"))
    assert cue.text == "六她们 OK now 、はい"


def test_a_segment_too_long_for_a_cue_is_several_that_share_its_time() -> None:
    first, second, third = formats.cues(Transcription(CHINESE * 4, 1.0, 23.0))
    assert first.lines == ("六她们她在北京的天气很好、我们今天去公", "园玩吧。六她们她在北京的天气很好、我们")
    assert "".join(cue.text for cue in (first, second, third)) == CHINESE * 4
    assert (first.start, first.end) == (0.0, pytest.approx(9.5))  # 38 of 92 characters
    assert (second.start, second.end, third.start) == (first.end, pytest.approx(19.0), second.end)
    assert third.end == pytest.approx(23.0)


def test_a_word_longer_than_a_line_is_cut() -> None:
    (cue,) = formats.cues(Transcription("x" * 50 + " y", 1.0, 3.0))
    assert cue.lines == ("x" * 42, "x" * 8 + " y")


times = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0.01, 1), st.text("abcdef", min_size=1, max_size=20)), max_size=60
)


@settings(deadline=None)
@given(times)
def test_cues_are_readable(gaps: list[tuple[float, float, str]]) -> None:
    now, spoken = 0.0, []
    for gap, length, text in gaps:
        spoken.append(Word(text, now + gap, now + gap + length, 1.0))
        now += gap + length
    result = Transcription(" ".join(word.word for word in spoken), 1.0, now, tuple(spoken))
    cues = formats.cues(result)
    assert " ".join(line for cue in cues for line in cue.lines) == result.text
    for cue in cues:
        assert len(cue.lines) <= 2
        assert all(0 < len(line) <= 42 for line in cue.lines)
        assert 0 <= cue.end - cue.start <= 7
    for cue, following in itertools.pairwise(cues):
        assert cue.end <= following.start


anything = st.text("ab六她。、「」ーっé\u0301สิ👍🏽\u200d가 \t", max_size=300)


@settings(deadline=None)
@given(st.lists(anything, max_size=12), st.booleans())
def test_cues_fit_the_screen_whatever_is_said(said: list[str], is_of_the_text: bool) -> None:
    heard = spoken("".join(said) if is_of_the_text else "x", *said)
    cues = formats.cues(heard)
    for cue in cues:
        assert len(cue.lines) <= 2
        assert all(line and _columns.width(line) <= 42 for line in cue.lines)
        assert cue.start <= cue.end
    shown = "".join(line for cue in cues for line in cue.lines)
    letters = "".join("".join(said).split())
    assert "".join(shown.split()) == (letters if said else "x" * (not is_of_the_text))
    for cue, following in itertools.pairwise(cues):
        assert cue.end <= following.start + 1e-9


@settings(deadline=None)
@given(st.floats(0, 1e6))
def test_clock_is_to_the_millisecond(seconds: float) -> None:
    cue = formats.render(words((seconds, seconds + 1)), "vtt")
    hours, minutes, rest = re.findall(r"\n(\d+):(\d\d):(\d\d\.\d{3}) -->", cue)[0]
    assert abs(int(hours) * 3600 + int(minutes) * 60 + float(rest) - seconds) <= 0.0006


def test_json_has_no_digits_of_float32() -> None:
    confidence, duration, start, end = (struct.unpack("f", struct.pack("f", x))[0] for x in (0.9183, 2.1, 0.3, 1.7))
    heard = Transcription("hi", confidence, duration, (Word("hi", start, end, confidence),))
    assert json.loads(formats.render(heard, "json")) == {
        "audio": "audio",
        "text": "hi",
        "confidence": 0.9183,
        "duration": 2.1,
        "words": [{"word": "hi", "start": 0.3, "end": 1.7, "confidence": 0.9183}],
    }


def test_every_format_is_rendered() -> None:
    assert set(formats._RENDERERS) == set(formats.FORMATS)
