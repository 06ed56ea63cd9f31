"""Which options a request becomes, by the kind of model."""

from typing import Any

import pytest
from asr_gateway import decoding
from gateway_app import TRANSLATIONS, WHISPER, Service


def sent(called: Service, more: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The parameters that reach the server."""
    assert called.post(more=more, **fields).status_code == 200
    return dict(called.kit.seen[-1].parameters)


def test_nothing_is_sent_that_nobody_asked_for(called: Service) -> None:
    assert sent(called) == {}
    assert sent(called, model=WHISPER) == {}
    assert "WORDS" not in called.kit.seen[-1].outputs


def test_the_recording_is_sent_as_it_came(called: Service) -> None:
    sent(called)
    assert called.kit.seen[-1].audio == b"RIFF"


def test_keywords_are_hotwords_of_a_ctc_model(called: Service) -> None:
    assert sent(called, {"keywords[]": ["acme", "Quilter^5"]})["hotwords"] == "acme,Quilter^5"


def test_a_prompt_gives_a_ctc_model_its_names(called: Service) -> None:
    prompt = "Acme, Quilter & Sons; O'Brien. We talked about the weather of last Tuesday."
    assert sent(called, prompt=prompt)["hotwords"] == "Acme,O'Brien"


@pytest.mark.parametrize("prompt", ["", " , ;", "a sentence that goes on for a while", "4711"])
def test_a_prompt_without_names_is_none(prompt: str) -> None:
    assert decoding.hotwords((), prompt) == []


def test_a_whisper_gets_all_as_its_prompt(called: Service) -> None:
    parameters = sent(called, {"keywords[]": ["acme", "Quilter"]}, model=WHISPER, prompt="We talked.")
    assert parameters == {"prompt": "acme, Quilter. We talked."}


def test_a_language_is_for_a_model_that_knows_some(called: Service) -> None:
    assert sent(called, model=WHISPER, language="de-CH") == {"language": "de"}
    assert sent(called, language="de") == {}


def test_among_several_languages_a_whisper_decides(called: Service) -> None:
    assert sent(called, {"languages[]": ["de", "fr"]}, model=WHISPER) == {}
    assert sent(called, {"languages[]": ["de"]}, model=WHISPER) == {"language": "de"}


def test_translations_are_a_task_of_a_whisper(called: Service) -> None:
    assert called.post(TRANSLATIONS, model=WHISPER).status_code == 200
    assert called.kit.seen[-1].parameters == {"task": "translate"}


def test_a_ctc_model_translates_nothing(called: Service) -> None:
    answer = called.post(TRANSLATIONS)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert not called.kit.seen


@pytest.mark.parametrize(
    ("granularities", "ctc", "whisper"),
    [
        ([], {"word_timestamps"}, {"timestamps"}),
        (["segment"], {"word_timestamps"}, {"timestamps"}),
        (["word"], {"word_timestamps"}, {"word_timestamps"}),
        (["word", "segment"], {"word_timestamps"}, {"word_timestamps", "timestamps"}),
    ],
)
def test_times_are_asked_for_where_the_answer_has_some(
    called: Service, granularities: list[str], ctc: set[str], whisper: set[str]
) -> None:
    more = {"timestamp_granularities[]": granularities}
    assert sent(called, more, response_format="verbose_json").keys() == ctc
    assert sent(called, more, response_format="verbose_json", model=WHISPER).keys() == whisper
    assert sent(called, more, response_format="json") == {}


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_subtitles_are_made_of_words(called: Service, format: str) -> None:
    assert sent(called, response_format=format) == {"word_timestamps": True}


@pytest.mark.parametrize("included", ["logprobs", "srt", "vtt"])
def test_what_is_included_is_made_of_words(called: Service, included: str) -> None:
    more = {"include[]": included}
    whisper = sent(called, more, response_format="verbose_json", model=WHISPER)
    assert whisper == {"word_timestamps": True, "timestamps": True}


def test_a_voice_detector_is_asked_for(called: Service) -> None:
    assert sent(called, {"chunking_strategy[type]": "server_vad"}) == {"vad": True}


def test_temperature_changes_nothing(called: Service) -> None:
    assert sent(called, temperature="0.7", model=WHISPER) == {}
