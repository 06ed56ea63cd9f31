"""The request parameters: one entry each, for clients, commands and servers."""

from typing import get_type_hints

import pytest
from asr_contract.errors import ParameterError
from asr_contract.parameters import DecodeOptions, DecodeParameters, StreamOptions, flushes, read, read_stream


def test_nothing_asked_is_the_default() -> None:
    assert read({}, "ctc") == DecodeOptions(decoder="greedy", word_timestamps=False)


def test_the_preprocess_steps_parameters_are_let_through() -> None:
    assert read({"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}, "ctc") == DecodeOptions()
    assert read({"channel": 1, "of_channels": 2}, "whisper") == DecodeOptions()


@pytest.mark.parametrize("value", [True, "true", "True"])
def test_word_timestamps_may_come_as_text(value: object) -> None:
    assert read({"word_timestamps": value}, "ctc").word_timestamps


def test_beam_search_has_options_of_its_own() -> None:
    parsed = read({"decoder": "beam", "beam_width": "32", "nbest": 5}, "ctc")
    assert (parsed.decoder, parsed.beam_width, parsed.nbest) == ("beam", 32, 5)
    assert (parsed.lm_weight, parsed.word_score) == (None, None)
    parsed = read({"decoder": "beam", "lm_weight": "0.5", "word_score": -1}, "ctc")
    assert (parsed.lm_weight, parsed.word_score) == (0.5, -1.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"word_timestamp": True}, "unknown parameter 'word_timestamp'; needs some of .*word_timestamps"),
        ({"word_timestamps": "yes"}, "word_timestamps is 'yes'; needs true or false"),
        ({"word_timestamps": 1}, "word_timestamps is 1"),
        ({"decoder": "fancy"}, "decoder is 'fancy'; needs one of greedy, beam"),
        ({"beam_width": 8}, "beam_width given with decoder=greedy; needs decoder=beam"),
        ({"nbest": 2, "decoder": "greedy"}, "nbest given with decoder=greedy; needs decoder=beam"),
        ({"decoder": "beam", "beam_width": 0}, "beam_width is 0; needs a whole number from 1 to 1000"),
        ({"decoder": "beam", "beam_width": "9" * 5000}, "beam_width is '999"),
        ({"decoder": "beam", "nbest": 17}, "nbest is 17; needs a whole number from 1 to 16"),
        ({"decoder": "beam", "nbest": True}, "nbest is True"),
        ({"lm_weight": 1, "word_score": 1}, "lm_weight and word_score given with decoder=greedy; needs decoder=beam"),
        ({"decoder": "beam", "lm_weight": "high"}, "lm_weight is 'high'; needs a number from 0 to 10"),
        ({"decoder": "beam", "lm_weight": -1}, "lm_weight is -1"),
        ({"decoder": "beam", "lm_weight": float("nan")}, "lm_weight is nan"),
        ({"decoder": "beam", "lm_weight": True}, "lm_weight is True"),
        ({"decoder": "beam", "word_score": 101}, "word_score is 101; needs a number from -100 to 100"),
    ],
)
def test_what_is_wrong_is_named(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read(parameters, "ctc")


def test_keyword_arguments_are_the_options() -> None:
    typed = get_type_hints(DecodeParameters)
    assert typed == get_type_hints(DecodeOptions)


def test_what_is_not_said_is_not_sent_and_reads_back_as_it_was() -> None:
    assert DecodeOptions().parameters() == {}
    options = DecodeOptions(decoder="beam", nbest=3, hotwords="acme", hotword_weight=2.5, word_timestamps=True)
    assert read(options.parameters(), "ctc") == options


def test_parameters_of_another_kind_of_model_are_unknown() -> None:
    with pytest.raises(ParameterError, match="unknown parameter 'task'; needs some of encoding, .*, word_timestamps"):
        read({"task": "translate"}, "ctc")
    with pytest.raises(ParameterError, match="unknown parameter 'hotwords'; needs some of encoding, .*, timestamps"):
        read({"hotwords": "acme"}, "whisper")


def test_a_whisper_has_times_of_words_and_of_segments_and_a_limit_of_tokens() -> None:
    asked = {"word_timestamps": True, "timestamps": True, "max_new_tokens": "448", "temperature_fallback": True}
    options = DecodeOptions(word_timestamps=True, timestamps=True, max_new_tokens=448, temperature_fallback=True)
    assert read(asked, "whisper") == options
    with pytest.raises(ParameterError, match="max_new_tokens is 449; needs a whole number from 1 to 448"):
        read({"max_new_tokens": 449}, "whisper")


def test_a_live_stream_has_options_of_its_own() -> None:
    options, rest = read_stream({"silence_ms": "500", "flush": True, "encoding": "pcm_s16le", "beams": 1})
    assert options == StreamOptions(silence_ms=500)
    assert rest == {"encoding": "pcm_s16le", "beams": 1}
    assert read_stream(StreamOptions(silence_ms=100).parameters())[0] == StreamOptions(silence_ms=100)
    assert StreamOptions().parameters() == {}
    assert [flushes({"flush": value}) for value in (True, "true", False)] == [True, True, False]
    assert not flushes({})


@pytest.mark.parametrize("silence_ms", [99, 10_001, 500.0, True, "0.5"])
def test_a_silence_that_ends_no_segment(silence_ms: object) -> None:
    with pytest.raises(ParameterError, match=f"silence_ms is {silence_ms!r}; needs a whole number from 100 to 10000"):
        read_stream({"silence_ms": silence_ms})


def test_a_flush_is_yes_or_no() -> None:
    with pytest.raises(ParameterError, match="flush is 'now'; needs true or false"):
        flushes({"flush": "now"})


@pytest.mark.parametrize("name", ["silence_ms", "flush"])
def test_recordings_refuse_what_is_for_live_streams(name: str) -> None:
    for model in ("ctc", "whisper"):
        with pytest.raises(ParameterError, match=f"^{name} is for live streams, not for recordings$"):
            read({name: 500, "vad": True}, model)
    with pytest.raises(ParameterError, match="live streams also take silence_ms, flush$"):
        read({"silence": 500}, "ctc")
