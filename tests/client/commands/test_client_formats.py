"""Transcriptions as files."""

import json
import re
import struct
from dataclasses import asdict, replace

import pytest
from asr_client import Segment, Transcription, Word, formats
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
        "segments": [{"text": "größe", "start": 0.0, "end": 1.0, "confidence": 0.5}],
    }


def test_json_has_the_measures_of_a_whisper() -> None:
    measured = Segment(
        "hi", 0.0, 1.0, 0.5, avg_logprob=-0.25, compression_ratio=0.8, no_speech_prob=0.01, temperature=0.2
    )
    content = json.loads(formats.render(Transcription("hi", 0.5, 1.0, segments=(measured,)), "json"))
    assert content["segments"] == [{name: value for name, value in asdict(measured).items() if name != "speaker"}]


def test_without_words_subtitles_are_made_of_segments() -> None:
    parts = (Segment("one two", 1.0, 2.0, 0.5), Segment("three", 61.0, 62.0, 0.5))
    heard = Transcription("one two three", 0.5, 90.0, segments=parts)
    assert formats.render(heard, "srt") == (
        "1\n00:00:01,000 --> 00:00:02,000\none two\n\n2\n00:01:01,000 --> 00:01:02,000\nthree\n"
    )


@pytest.mark.parametrize(
    ("format", "text"), [("txt", "\n"), ("srt", ""), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n"), ("ctm", "")]
)
def test_silence(format: formats.Format, text: str) -> None:
    assert formats.render(EMPTY, format) == text


CALL = Transcription(
    "hello\nyes <b>\nbye",
    0.5,
    9.0,
    (
        Word("hello", 1.0, 1.5, 0.9, "0"),
        Word("yes", 1.25, 1.75, 0.5, "1"),
        Word("<b>", 1.75, 2.0, 0.5, "1"),
        Word("bye", 8.0, 8.5, 0.25, "0"),
    ),
    segments=(
        Segment("hello", 1.0, 1.5, 0.9, speaker="0"),
        Segment("yes <b>", 1.25, 2.0, 0.5, speaker="1"),
        Segment("bye", 8.0, 8.5, 0.25, speaker="0"),
    ),
)


@pytest.mark.parametrize(
    ("format", "lines"),
    [
        ("txt", ["Speaker 0: hello", "Speaker 1: yes <b>", "Speaker 0: bye"]),
        (
            "srt",
            [
                *("1", "00:00:01,000 --> 00:00:02,000", "Speaker 0: hello", ""),
                *("2", "00:00:01,250 --> 00:00:02,250", "Speaker 1: yes <b>", ""),
                *("3", "00:00:08,000 --> 00:00:09,000", "Speaker 0: bye"),
            ],
        ),
        (
            "vtt",
            [
                *("WEBVTT", "", "00:00:01.000 --> 00:00:02.000", "<v Speaker 0>hello", ""),
                *("00:00:01.250 --> 00:00:02.250", "<v Speaker 1>yes &lt;b&gt;", ""),
                *("00:00:08.000 --> 00:00:09.000", "<v Speaker 0>bye"),
            ],
        ),
        (
            "tsv",
            [
                "start\tend\ttext",
                "1000\t2000\tSpeaker 0: hello",
                "1250\t2250\tSpeaker 1: yes <b>",
                "8000\t9000\tSpeaker 0: bye",
            ],
        ),
        (
            "ctm",
            [
                "call 1 1.000 0.500 hello 0.900",
                "call 1 8.000 0.500 bye 0.250",
                "call 2 1.250 0.500 yes 0.500",
                "call 2 1.750 0.250 <b> 0.500",
            ],
        ),
    ],
)
def test_speakers_have_names(format: formats.Format, lines: list[str]) -> None:
    assert formats.render(CALL, format, name="call") == "".join(f"{line}\n" for line in lines)


def test_json_has_the_speakers_of_words_and_segments() -> None:
    content = json.loads(formats.render(CALL, "json"))
    assert [word["speaker"] for word in content["words"]] == ["0", "1", "1", "0"]
    assert [segment["speaker"] for segment in content["segments"]] == ["0", "1", "0"]
    assert content["text"] == CALL.text


def test_a_name_that_is_no_number_stands_as_it_is() -> None:
    named = replace(CALL, segments=tuple(replace(part, speaker="A --> <B>") for part in CALL.segments[:1]), words=())
    assert formats.render(named, "txt") == "A --> <B>: hello\n"
    assert "\nA -> <B>: hello\n" in formats.render(named, "srt")
    assert "\n<v A --&gt; &lt;B&gt;>hello\n" in formats.render(named, "vtt")


def test_a_ctm_gives_a_channel_to_each_name() -> None:
    names = {"0": "Alice", "1": "1"}
    named = replace(CALL, words=tuple(replace(word, speaker=names[word.speaker or ""]) for word in CALL.words))
    assert formats.render(named, "ctm", name="call") == formats.render(CALL, "ctm", name="call")


def words(*times: tuple[float, float]) -> Transcription:
    spoken = tuple(Word(f"word{number}", start, end, 1.0) for number, (start, end) in enumerate(times))
    return Transcription(" ".join(word.word for word in spoken), 1.0, times[-1][1], spoken)


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
        "segments": [{"text": "hi", "start": 0.3, "end": 1.7, "confidence": 0.9183}],
    }


def test_every_format_is_rendered() -> None:
    assert set(formats._RENDERERS) == set(formats.FORMATS)
