"""The parameters that say how AUDIO is encoded."""

import pytest
from asr_contract.errors import ParameterError
from asr_serving.audio import request
from asr_serving.audio.container import PcmFormat


def test_a_file_is_the_default() -> None:
    assert request.pcm_format({}) is None
    assert request.pcm_format({"encoding": "file", "word_timestamps": True}) is None


def test_pcm_needs_a_rate_and_defaults_to_mono() -> None:
    assert request.pcm_format({"encoding": "pcm_s16le", "sample_rate": 8000}) == PcmFormat("pcm_s16le", 8000, 1)


def test_numbers_may_come_as_text() -> None:
    parameters = {"encoding": "pcm_f32le", "sample_rate": "48000", "channels": "2"}
    assert request.pcm_format(parameters) == PcmFormat("pcm_f32le", 48_000, 2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"encoding": "mp3"}, "encoding is 'mp3'; needs one of file, pcm_s16le, pcm_f32le"),
        ({"encoding": "pcm_s16le"}, "needs sample_rate"),
        ({"encoding": "pcm_s16le", "sample_rate": 0}, "sample_rate is 0; needs a whole number from 4000"),
        ({"encoding": "pcm_s16le", "sample_rate": "fast"}, "sample_rate is 'fast'"),
        ({"encoding": "pcm_s16le", "sample_rate": True}, "sample_rate is True"),
        ({"encoding": "pcm_s16le", "sample_rate": 16000.5}, "16000.5"),
        ({"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 0}, "channels is 0; needs a whole number from 1"),
        ({"sample_rate": 16000}, "only for raw samples"),
        ({"channels": 2}, "only for raw samples"),
    ],
)
def test_what_is_wrong_is_named(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        request.pcm_format(parameters)
