"""What callers send, as samples."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from asr_gateway.errors import ApiError
from asr_gateway.realtime.fields import Fields
from asr_gateway.realtime.formats import OPENAI_FORMAT, AudioFormat, read_format


def read(value: Any, now: AudioFormat = OPENAI_FORMAT) -> AudioFormat:
    return read_format(Fields({"format": value}), "format", now)


@pytest.mark.parametrize(("encoding", "subtype"), [("audio/pcmu", "ULAW"), ("audio/pcma", "ALAW")])
def test_g711_is_what_libsndfile_decodes(encoding: Any, subtype: str) -> None:
    every = bytes(range(256))
    expected, _ = soundfile.read(
        io.BytesIO(every), dtype="int16", format="RAW", subtype=subtype, samplerate=8000, channels=1
    )
    assert np.array_equal(np.frombuffer(AudioFormat(encoding, 8000).decoded(every), "<i2"), expected)


def test_pcm_is_left_as_it_is() -> None:
    assert OPENAI_FORMAT.decoded(b"\x01\x02\x03") == b"\x01\x02\x03"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, AudioFormat("audio/pcm", 24_000)),
        ({"type": "audio/pcm"}, AudioFormat("audio/pcm", 24_000)),
        ({"type": "audio/pcm", "rate": 44_100}, AudioFormat("audio/pcm", 44_100)),
        ({"rate": 16_000.0}, AudioFormat("audio/pcm", 16_000)),
        ({"type": "audio/pcmu"}, AudioFormat("audio/pcmu", 8_000)),
        ({"type": "audio/pcma", "rate": 8_000}, AudioFormat("audio/pcma", 8_000)),
        ("pcm16", AudioFormat("audio/pcm", 24_000)),
        ("g711_ulaw", AudioFormat("audio/pcmu", 8_000)),
        ("g711_alaw", AudioFormat("audio/pcma", 8_000)),
    ],
)
def test_formats(value: Any, expected: AudioFormat) -> None:
    assert read(value) == expected


def test_a_rate_stays_until_another_one_is_named() -> None:
    assert read({"type": "audio/pcm"}, AudioFormat("audio/pcm", 16_000)).rate == 16_000
    assert read({"type": "audio/pcm"}, AudioFormat("audio/pcmu", 8_000)).rate == 24_000


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("opus", "format"),
        (7, "format"),
        ([], "format"),
        ({"type": "audio/opus"}, "format.type"),
        ({"type": {}}, "format.type"),
        ({"rate": 7_999}, "format.rate"),
        ({"rate": 48_001}, "format.rate"),
        ({"rate": 16_000.5}, "format.rate"),
        ({"rate": "16000"}, "format.rate"),
        ({"rate": True}, "format.rate"),
        ({"rate": float("nan")}, "format.rate"),
        ({"type": "audio/pcmu", "rate": 16_000}, "format.rate"),
    ],
)
def test_other_formats_are_refused(value: Any, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read(value)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


def test_names_of_the_beta() -> None:
    assert [read(name).beta_name for name in ("pcm16", "g711_ulaw", "g711_alaw")] == ["pcm16", "g711_ulaw", "g711_alaw"]
