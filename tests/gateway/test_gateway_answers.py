"""The bodies of answers, field by field."""

import json
import math
from dataclasses import replace

import pytest
from asr_client import Segment, Transcription, Word, formats
from asr_gateway import answers, forms
from gateway_app import HALLO, HELLO, WHISPER, Service
from starlette.responses import Response

USAGE = {"type": "duration", "seconds": 2}
SEGMENTS = (Segment("hello world", 0.25, 1.25, 0.875),)


def form(**fields: object) -> forms.Form:
    """A form with these values in place of those of an empty one."""
    nothing = forms.Form(
        audio=None,  # type: ignore[arg-type]
        model="",
        languages=(),
        prompt="",
        keywords=(),
        format="json",
        granularities=frozenset(),
        wants_logprobs=False,
        subtitles=(),
        is_streamed=False,
        vad=False,
        channels="mixed",
        speakers=(),
    )
    return replace(nothing, **fields)  # type: ignore[arg-type]


def verbose(said: Transcription, *granularities: str, task: str = "transcribe") -> dict:
    asked = form(format="verbose_json", granularities=frozenset(granularities))
    response: Response = answers.answer(asked, said, task)  # type: ignore[arg-type]
    return json.loads(response.body)


def test_json(called: Service) -> None:
    answer = called.post()
    assert answer.json() == {"text": "hello world", "usage": USAGE}
    assert answer.headers["content-type"] == "application/json"


def test_text_ends_with_a_newline(called: Service) -> None:
    answer = called.post(response_format="text")
    assert answer.text == "hello world\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(("format", "media_type"), [("srt", "text/plain"), ("vtt", "text/vtt")])
def test_subtitles_are_those_of_the_command_line(called: Service, format: str, media_type: str) -> None:
    answer = called.post(response_format=format)
    assert answer.text == formats.render(HELLO, format)  # type: ignore[arg-type]
    assert "-->" in answer.text
    assert answer.headers["content-type"] == f"{media_type}; charset=utf-8"


def test_verbose_json() -> None:
    said = replace(HALLO, segments=(Segment("Hallo, Welt!", 0.25, 1.0, 0.5, -0.25, 0.75, 0.125, 0.2),))
    assert verbose(said) == {
        "task": "transcribe",
        "language": "german",
        "duration": 1.5,
        "text": "Hallo, Welt!",
        "usage": USAGE,
        "segments": [
            {
                "id": 0,
                "seek": 0,
                "start": 0.25,
                "end": 1.0,
                "text": "Hallo, Welt!",
                "tokens": [],
                "temperature": 0.2,
                "avg_logprob": -0.25,
                "compression_ratio": 0.75,
                "no_speech_prob": 0.125,
            }
        ],
    }


@pytest.mark.parametrize(
    ("granularities", "has_words", "has_segments"),
    [((), False, True), (("segment",), False, True), (("word",), True, False), (("word", "segment"), True, True)],
)
def test_only_what_was_asked_for(granularities: tuple[str, ...], has_words: bool, has_segments: bool) -> None:
    content = verbose(replace(HELLO, segments=SEGMENTS), *granularities)
    assert ("words" in content, "segments" in content) == (has_words, has_segments)
    if has_words:
        assert content["words"] == [
            {"word": "hello", "start": 0.25, "end": 0.5},
            {"word": "world", "start": 0.625, "end": 1.25},
        ]


def test_segments_together_are_the_text() -> None:
    segments = (Segment("hello", 0.25, 0.5, 0.75), Segment("world", 0.625, 1.25, 1.0))
    content = verbose(replace(HELLO, segments=segments))
    assert [segment["text"] for segment in content["segments"]] == ["hello", " world"]


def test_every_number_of_a_segment_is_one_for_any_model() -> None:
    (segment,) = verbose(replace(HELLO, segments=SEGMENTS))["segments"]
    assert segment["avg_logprob"] == pytest.approx(math.log(0.875), abs=1e-6)
    assert (segment["no_speech_prob"], segment["temperature"]) == (0.0, 0.0)
    assert 0 < segment["compression_ratio"] < 1


def test_a_translation_is_english() -> None:
    content = verbose(HALLO, task="translate")
    assert (content["task"], content["language"]) == ("translate", "english")


def test_a_model_without_languages_names_none() -> None:
    assert verbose(HELLO)["language"] == ""


def test_nothing_said_is_an_empty_text() -> None:
    content = verbose(Transcription("", 0.0, 0.0), "word", "segment")
    assert (content["text"], content["words"], content["segments"]) == ("", [], [])


def test_log_probs_are_those_of_words(called: Service) -> None:
    answer = called.post(more={"include[]": "logprobs"}).json()
    tokens = answer["logprobs"]
    assert "".join(token["token"] for token in tokens) == answer["text"]
    assert [token["token"] for token in tokens] == ["hello", " world"]
    assert [token["logprob"] for token in tokens] == [pytest.approx(math.log(0.75), abs=1e-6), 0.0]
    assert bytes(tokens[1]["bytes"]) == b" world"


def test_verbose_json_has_log_probs_in_the_order_of_its_words(called: Service) -> None:
    more = {"include[]": "logprobs", "timestamp_granularities[]": ["word"]}
    answer = called.post(more=more, response_format="verbose_json").json()
    assert [token["token"].strip() for token in answer["logprobs"]] == [word["word"] for word in answer["words"]]
    assert "logprobs" not in called.post(response_format="verbose_json").json()


def test_verbose_json_has_subtitles_besides(called: Service) -> None:
    answer = called.post(more={"include[]": ["vtt", "srt"]}, response_format="verbose_json").json()
    for format in ("srt", "vtt"):
        assert answer[format] == called.post(response_format=format).text
    assert "srt" not in called.post(more={"include[]": "srt"}).json()  # json has no place for it


def test_log_probs_of_a_whisper(called: Service) -> None:
    answer = called.post(more={"include[]": "logprobs"}, model=WHISPER).json()
    assert [token["token"] for token in answer["logprobs"]] == ["Hallo,", " Welt!"]


def test_a_confidence_of_zero_has_a_log_prob() -> None:
    said = Transcription("a b", 0.0, 1.0, (Word("a", 0, 1, 0.0), Word("c", 0, 1, 0.5)))
    tokens = answers.logprobs(said)
    assert tokens[0]["logprob"] < -20
    assert tokens[1]["token"] == "c b"  # the text does not have the word


def test_a_line_of_events_is_one_line() -> None:
    assert answers.line({"delta": "a\nb"}) == b'data: {"delta":"a\\nb"}\n\n'
