"""The parameters of the decode step."""

import options
import pytest
from options import DecodeOptions, ParameterError


def test_nothing_asked_is_the_default() -> None:
    assert options.parse({}) == DecodeOptions(decoder="greedy", word_timestamps=False)


def test_the_preprocess_steps_parameters_are_let_through() -> None:
    assert options.parse({"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 1}) == DecodeOptions()


@pytest.mark.parametrize("value", [True, "true", "True"])
def test_word_timestamps_may_come_as_text(value: object) -> None:
    assert options.parse({"word_timestamps": value}).word_timestamps


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"word_timestamp": True}, "unknown parameter 'word_timestamp'; needs some of .*word_timestamps"),
        ({"word_timestamps": "yes"}, "word_timestamps is 'yes'; needs true or false"),
        ({"word_timestamps": 1}, "word_timestamps is 1"),
        ({"decoder": "fancy"}, "decoder is 'fancy'; needs one of greedy"),
    ],
)
def test_what_is_wrong_is_named(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        options.parse(parameters)
