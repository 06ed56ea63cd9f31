"""Channels as speakers: what the form says, and the answers with their names."""

from typing import Any

import pytest
from asr_client import InvalidRequest, OptionRefused, Transcription, Word
from asr_client._calls.protocol import Infer
from asr_contract.errors import other_channels
from asr_gateway import events
from gateway_app import TRANSLATIONS, WHISPER, Service, service
from test_gateway_events import read as read_events
from test_gateway_forms import read, refused

USAGE = {"type": "duration", "seconds": 9}
TEXT = "good morning\nhello\ngood bye"


def call(request: Infer) -> Transcription:
    """What is said in a recording of two channels."""
    asked = request.parameters
    if asked["of_channels"] != 2:
        raise InvalidRequest.for_anybody(str(other_channels(2, f"of_channels={asked['of_channels']} needs another")))
    if asked["channel"] == 1:
        return Transcription("hello", 0.5, 8.5, (Word("hello", 2.0, 2.5, 0.5),))
    words = (("good", 0.5), ("morning", 1.0), ("good", 7.0), ("bye", 7.5))
    spoken = tuple(Word(word, start, start + 0.5, 1.0) for word, start in words)
    return Transcription("good morning good bye", 1.0, 8.5, spoken)


def segment(number: int, start: float, end: float, text: str, speaker: str) -> dict[str, Any]:
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": start,
        "end": end,
        "text": text,
        "speaker": speaker,
    }


SEGMENTS = [
    segment(0, 0.5, 1.5, "good morning", "0"),
    segment(1, 2.0, 2.5, "hello", "1"),
    segment(2, 7.0, 8.0, "good bye", "0"),
]


@pytest.fixture
def phone() -> Any:
    with service(call) as running:
        yield running


def test_diarized_json(phone: Service) -> None:
    answer = phone.post(response_format="diarized_json")
    assert answer.json() == {
        "task": "transcribe",
        "duration": 8.5,
        "text": TEXT,
        "segments": SEGMENTS,
        "usage": USAGE,
    }
    assert sorted(seen.parameters["channel"] for seen in phone.kit.seen) == [0, 1]


def test_a_stream_of_it_has_segments(phone: Service) -> None:
    answer = phone.post(response_format="diarized_json", stream="true")
    *told, delta, done, end = read_events(answer.content)
    assert told == SEGMENTS
    assert delta == {"type": "transcript.text.delta", "delta": TEXT}
    assert done == {"type": "transcript.text.done", "text": TEXT, "usage": USAGE}
    assert end == events.DONE


def test_a_stream_of_json_has_none(phone: Service) -> None:
    told = read_events(phone.post(channels="separate", stream="true").content)
    assert [event["type"] for event in told[:-1]] == ["transcript.text.delta", "transcript.text.done"]


def test_names_are_those_of_the_channels(phone: Service) -> None:
    more = {"known_speaker_names[]": ["agent", "a  customer"]}
    answer = phone.post(response_format="diarized_json", more=more).json()
    assert [one["speaker"] for one in answer["segments"]] == ["agent", "a customer", "agent"]
    assert answer["text"] == TEXT
    assert "agent: good morning" in phone.post(response_format="srt", channels="separate", more=more).text
    only = phone.post(response_format="diarized_json", more={"known_speaker_names[]": ["", "agent"]}).json()
    assert [one["speaker"] for one in only["segments"]] == ["0", "agent", "0"]


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("srt", "Speaker 1: hello"),
        ("vtt", "<v Speaker 1>hello"),
        ("text", "hello"),
    ],
)
def test_subtitles_have_speakers(phone: Service, format: str, line: str) -> None:
    assert line in phone.post(response_format=format, channels="separate").text.splitlines()


def test_text_is_that_of_json(phone: Service) -> None:
    assert phone.post(response_format="json", channels="separate").json() == {"text": TEXT, "usage": USAGE}
    assert phone.post(response_format="text", channels="separate").text == f"{TEXT}\n"


def test_verbose_json_has_speakers(phone: Service) -> None:
    more = {"timestamp_granularities[]": ["word", "segment"]}
    answer = phone.post(response_format="verbose_json", channels="separate", more=more).json()
    assert [one["speaker"] for one in answer["segments"]] == ["0", "1", "0"]
    assert "".join(one["text"] for one in answer["segments"]) == answer["text"] == TEXT
    assert [(one["word"], one["speaker"]) for one in answer["words"]][1:3] == [("morning", "0"), ("hello", "1")]


def test_log_probs_are_the_text(phone: Service) -> None:
    answer = phone.post(channels="separate", more={"include[]": "logprobs"}).json()
    assert "".join(token["token"] for token in answer["logprobs"]) == answer["text"] == TEXT


def test_mixed_channels_have_no_speakers(called: Service) -> None:
    answer = called.post(response_format="verbose_json", channels="mixed")
    assert "speaker" not in answer.json()["segments"][0]
    assert "channel" not in called.kit.seen[-1].parameters


def test_a_whisper_is_asked_for_its_segments() -> None:
    with service(lambda request: Transcription("Ja.", 0.5, 1.0, (), "de")) as called:
        answer = called.post(response_format="diarized_json", model=WHISPER)
        assert called.kit.seen[-1].parameters.keys() == {"timestamps", "channel", "of_channels"}
        assert answer.json()["segments"][0]["text"] == "Ja."
        assert called.post(TRANSLATIONS, response_format="diarized_json", model=WHISPER).json()["task"] == "translate"


def test_the_same_in_both_channels_is_one_speaker(called: Service) -> None:
    answer = called.post(response_format="diarized_json")
    assert [one["speaker"] for one in answer.json()["segments"]] == ["0"]


@pytest.mark.parametrize("stream", ["true", "false"])
def test_an_older_server_is_called_one(stream: str) -> None:
    def refuse(request: Infer) -> Transcription:
        raise OptionRefused.for_anybody("unknown parameter 'channel', 'of_channels'; needs some of encoding, vad")

    with service(refuse) as called:
        answer = called.post(response_format="diarized_json", stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_value")
    assert "an earlier version of the kit" in answer.json()["error"]["message"]


def test_what_does_not_go_together() -> None:
    error = refused(("response_format", "diarized_json"), ("channels", "mixed"))
    assert (error.code, error.param) == ("unsupported_value", "channels")
    error = refused(("response_format", "diarized_json"), ("known_speaker_references[]", "data:audio/wav;base64,AAAA"))
    assert (error.code, error.param) == ("unsupported_value", "known_speaker_references[]")
    error = refused(("channels", "separate"), ("known_speaker_names[]", "a"), ("known_speaker_names[]", "a "))
    assert (error.code, error.param) == ("invalid_value", "known_speaker_names[]")


def test_what_a_form_says_of_channels() -> None:
    assert (read().channels, read().speakers) == ("mixed", ())
    assert read(("response_format", "diarized_json")).channels == "separate"
    assert read(("channels", "separate"), ("known_speaker_names[]", "a")).speakers == ("a",)
    assert read(("known_speaker_names[]", "a"), ("known_speaker_references[]", "data:")) == read()
    chunked = read(("response_format", "diarized_json"), ("chunking_strategy", "auto"))  # OpenAI's own needs it
    assert not chunked.vad
