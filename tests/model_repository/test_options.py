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


def test_beam_search_has_options_of_its_own() -> None:
    parsed = options.parse({"decoder": "beam", "beam_width": "32", "nbest": 5})
    assert (parsed.decoder, parsed.beam_width, parsed.nbest) == ("beam", 32, 5)
    assert (parsed.lm_weight, parsed.word_score) == (None, None)
    parsed = options.parse({"decoder": "beam", "lm_weight": "0.5", "word_score": -1})
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
        options.parse(parameters)
