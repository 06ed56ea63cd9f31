"""The length of a recording by its first bytes, against what its decoder finds."""

import io
import struct

import numpy as np
import pytest
import soundfile
from asr_client._lengths import seconds
from hypothesis import given
from hypothesis import strategies as st
from odd_recordings import chunk, fmt, id3, rf64, riff
from recordings import by_ffmpeg, by_soundfile, speech

SECONDS = len(speech()) / 16_000


def known(data: bytes) -> float:
    return seconds(data, "file", None, None)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_wav_is_as_long_as_its_samples(subtype: str) -> None:
    data = by_soundfile("WAV", subtype)
    assert known(data) == pytest.approx(SECONDS, abs=0.001)
    half = data[: len(data) // 2]  # whatever the header claims
    assert known(half) == pytest.approx(SECONDS / 2, abs=0.01)


def test_a_wav_from_a_stream_claims_nothing() -> None:
    samples = bytes(32_000)
    endless = b"data" + struct.pack("<I", 0xFFFFFFFF) + samples
    assert known(riff(fmt()) + endless) == pytest.approx(1.0)
    assert known(riff(fmt()) + b"data\0\0\0\0" + samples) == pytest.approx(1.0)
    assert known(rf64(b"RF64", samples)) == pytest.approx(1.0)


@pytest.mark.parametrize(("container", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_headers_and_pages_tell_the_length(container: str, subtype: str) -> None:
    assert known(by_soundfile(container, subtype)) == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("container", ["ipod", "mp4"])
def test_an_mp4_tells_its_length(container: str) -> None:
    assert known(by_ffmpeg(container, "aac")) == pytest.approx(SECONDS, abs=0.2)


def test_an_mp3_is_at_least_as_long_as_its_bytes_take() -> None:
    data = by_soundfile("MP3", "MPEG_LAYER_III")
    assert 0 < known(data) <= SECONDS
    hour = data * 100
    assert len(hour) / 80_000 == pytest.approx(known(hour))
    tagged = id3(50_000) + hour
    assert known(tagged) <= known(hour)
    assert known(tagged) == pytest.approx(known(hour), abs=50_000 / 80_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"fLaC",
        b"OggS",
        b"ID3",
        b"\xff",
        b"\xff\xf1" + bytes(100),  # AAC
        b"RIFF\0\0\0\0WAVE" + bytes(10_000),
        b"\0\0\0\x08ftyp" + b"\0\0\0\x08free" * 10_000,
        riff(fmt(tag=0x11), chunk(b"data", bytes(9_000))),  # ADPCM
        riff(chunk(b"data", bytes(9_000)), fmt()),
        b"some text that is no recording",
    ],
)
def test_what_does_not_tell_is_not_known(data: bytes) -> None:
    assert known(data) == 0.0


@given(
    st.sampled_from([b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"\xff", b"\0\0\0\x18ftyp"]), st.binary(max_size=200)
)
def test_no_bytes_make_it_fail(begin: bytes, rest: bytes) -> None:
    assert known(begin + rest) >= 0
    assert known(bytearray(begin + rest)) == known(begin + rest)


def test_raw_samples_are_counted() -> None:
    assert seconds(bytes(64_000), "pcm_s16le", 16_000, 2) == 1.0
    assert seconds(bytes(64_000), "pcm_f32le", 8_000, 1) == 2.0


def test_the_length_is_that_of_the_beginning_that_is_there() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(160_000, np.float32), 16_000, format="OGG", subtype="VORBIS")
    data = buffer.getvalue()
    lengths = [known(data[:size]) for size in range(0, len(data), max(1, len(data) // 20))]
    assert lengths == sorted(lengths)
    assert lengths[-1] <= 10.01
