"""Forms of audio that readers elsewhere have failed at; docs/compatibility.md has the sources."""

import functools
import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from asr_contract.errors import AudioError
from asr_serving.audio import waveform as audio
from asr_serving.audio.samples import downmix
from asr_serving.audio.waveform import Limits
from odd_recordings import chunk, encoded, extensible, fmt, id3, pictures_alone, rf64, riff

SAMPLES = Path(__file__).parents[2] / "demo" / "samples"
LIMITS = Limits(sampling_rate=16_000, min_samples=400, max_seconds=40)
SPEECH, RATE = soundfile.read(SAMPLES / "quilter.wav", dtype="int16")
FLOATS = (SPEECH / np.float32(32768)).astype(np.float32)
PCM = SPEECH.tobytes()
EIGHT_BITS = ((SPEECH[: len(SPEECH) // 2 * 2 - 1].astype(int) >> 8) + 128).astype(np.uint8).tobytes()  # an odd number
SILENCE = np.zeros((len(SPEECH), 1), np.float32)


def written(samples: np.ndarray, form: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format=form, subtype=subtype)
    return buffer.getvalue()


DATA = chunk(b"data", PCM)
STEREO = np.stack([FLOATS, FLOATS], axis=1)
MIRRORED = np.stack([FLOATS, -FLOATS], axis=1)
CENTRE_OF_SIX = np.zeros((len(FLOATS), 6), np.float32)
CENTRE_OF_SIX[:, 2] = FLOATS

WAVS: dict[str, bytes] = {
    "LIST after the samples": riff(fmt(), DATA, chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0")),
    "unknown chunks first": riff(chunk(b"JUNK", b"\0" * 28), chunk(b"bext", b"\0" * 602), fmt(), DATA),
    "a LIST full of zeros first": riff(fmt(), chunk(b"LIST", b"INFO" + bytes(393_160)), DATA),
    "a chunk of odd length": riff(fmt(), chunk(b"xxxx", b"abc"), DATA),
    "fmt of 18 bytes": riff(fmt(extra=b"\0\0"), DATA),
    "WAVE_FORMAT_EXTENSIBLE": riff(extensible(), DATA),
    "RIFF size 0": riff(fmt(), DATA, size=0),
    "RIFF size 0xFFFFFFFF": riff(fmt(), DATA, size=0xFFFFFFFF),
    "RIFF size too small": riff(fmt(), DATA, size=16),
    "something after the end": riff(fmt(), DATA) + b"\xff" * 1000,
    "an ID3 chunk at the end": riff(fmt(), DATA, chunk(b"id3 ", id3(4000))),
    "RF64": rf64(b"RF64", PCM),
    "BW64": rf64(b"BW64", PCM),
    "W64": written(SPEECH, "W64"),
    "24 bit": written(SPEECH, "WAV", "PCM_24"),
    "32 bit": written(SPEECH, "WAV", "PCM_32"),
    "64-bit float": written(FLOATS, "WAV", "DOUBLE"),
    "big-endian RIFX": b"RIFX"
    + struct.pack(
        ">I4s4sIHHIIHH4sI", 36 + len(PCM), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16, b"data", len(PCM)
    )
    + SPEECH.astype(">i2").tobytes(),
    "NIST SPHERE": written(SPEECH, "NIST"),
    "AIFF": written(SPEECH, "AIFF"),
    "AU": written(SPEECH, "AU"),
    "CAF": written(SPEECH, "CAF"),
}


@pytest.mark.parametrize("name", WAVS)
def test_samples_of_a_lossless_file_are_those_that_were_written(name: str) -> None:
    wave, seconds = audio.load(WAVS[name], LIMITS)
    np.testing.assert_allclose(wave, FLOATS, atol=1e-7)
    assert seconds == len(SPEECH) / RATE


@pytest.mark.parametrize("after", [b"", b"LIST\4\0\0\0INFO"], ids=["at the end", "before LIST"])
def test_eight_bits_and_an_odd_number_of_samples_without_padding(after: bytes) -> None:
    data = b"data" + struct.pack("<I", len(EIGHT_BITS)) + EIGHT_BITS + after
    wave, _ = audio.load(riff(fmt(bits=8), data), LIMITS)
    assert len(wave) == len(EIGHT_BITS)
    np.testing.assert_allclose(wave, FLOATS[: len(wave)], atol=1 / 128)


def test_float_samples_beyond_one_are_not_clipped() -> None:
    wave, _ = audio.load(written(30 * FLOATS, "WAV", "FLOAT"), LIMITS)
    np.testing.assert_allclose(wave, 30 * FLOATS, rtol=1e-6)


@pytest.mark.parametrize("form", ["WAV", "AIFF", "FLAC"])
def test_a_tag_before_a_file_takes_nothing_from_its_end(form: str) -> None:
    whole = written(SPEECH, form)
    wave, _ = audio.load(id3(100_000) + id3(500, version=4) + whole, LIMITS)
    np.testing.assert_allclose(wave, FLOATS, atol=1e-7)


def similarity(wave: np.ndarray) -> float:
    """How much of a decoded recording is the one that was encoded, 0 to 1, wherever a codec has moved it to."""
    size = 1 << 18
    product = np.fft.irfft(np.fft.rfft(wave, size) * np.conj(np.fft.rfft(FLOATS, size)))
    return float(np.abs(product).max() / np.sqrt((wave @ wave) * (FLOATS @ FLOATS)))


@functools.cache
def mp3() -> bytes:
    return encoded("mp3", "libmp3lame", FLOATS[:, None])


LOSSY: dict[str, Callable[[], bytes]] = {
    "MP3": lambda: mp3(),
    "zeros before an MP3": lambda: bytes(5000) + mp3(),
    "the mark of UTF-16 before an MP3": lambda: b"\xff\xfe" + mp3(),
    "a line end before an MP3": lambda: b"\r\n" + mp3(),
    "two ID3 tags": lambda: id3(500) + id3(700, version=4) + mp3(),
    "an ID3 tag of 20 MB": lambda: id3(20_000_000) + mp3(),
    "zeros after an ID3 tag": lambda: id3(300) + bytes(3000) + mp3(),
    "an ID3v1 tag at the end": lambda: mp3() + b"TAG".ljust(128, b"\0"),
    "an APE tag at the end": lambda: mp3() + b"APETAGEX".ljust(400, b"\0"),
    "MP2": lambda: encoded("mp2", "mp2", FLOATS[:, None]),
    "AAC with an ID3 tag": lambda: id3(2000) + encoded("adts", "aac", FLOATS[:, None]),
    "a cover in an MP4": lambda: encoded("mp4", "aac", FLOATS[:, None], cover=True),
    "Opus in MP4": lambda: encoded("mp4", "libopus", np.repeat(FLOATS, 3)[:, None], rate=48_000),
    "MP3 in WAV": lambda: encoded("wav", "libmp3lame", FLOATS[:, None]),
    "IMA ADPCM in WAV": lambda: encoded("wav", "adpcm_ima_wav", FLOATS[:, None]),
    "AC-3": lambda: encoded("ac3", "ac3", np.repeat(FLOATS, 3)[:, None], rate=48_000),
    "MPEG transport stream": lambda: encoded("mpegts", "aac", FLOATS[:, None]),
    "six channels, speech in the centre": lambda: encoded("wav", "pcm_s16le", CENTRE_OF_SIX, layout="5.1"),
    "one channel of two": lambda: encoded("wav", "pcm_s16le", STEREO * np.float32([1, 0]), layout="stereo"),
}


@pytest.mark.parametrize("name", LOSSY)
def test_the_recording_is_in_it(name: str) -> None:
    wave, seconds = audio.load(LOSSY[name](), LIMITS)
    assert similarity(wave) > 0.98
    assert seconds == pytest.approx(len(SPEECH) / RATE, abs=0.2)


@pytest.mark.parametrize(("form", "codec"), [("wav", "pcm_s16le"), ("ipod", "aac"), ("mp3", "libmp3lame")])
def test_channels_that_cancel_each_other_out_are_heard(form: str, codec: str) -> None:
    wave, _ = audio.load(encoded(form, codec, MIRRORED.astype(np.float32), layout="stereo"), LIMITS)
    assert similarity(wave) > 0.98


def test_channels_that_do_not_are_averaged() -> None:
    stereo = np.stack([FLOATS, np.roll(FLOATS, 4_000)], axis=1)
    np.testing.assert_allclose(downmix(stereo), stereo.mean(axis=1), atol=1e-7)
    # So is an echo of the opposite sign that is as loud as the voice, where only some of it cancels out.
    stereo = np.stack([FLOATS, -0.7 * FLOATS], axis=1).astype(np.float32)
    np.testing.assert_allclose(downmix(stereo), 0.15 * FLOATS, atol=1e-6)


def test_the_channel_that_is_heard_does_not_change_with_the_block() -> None:
    louder_right = np.stack([FLOATS, -1.1 * FLOATS], axis=1).astype(np.float32)
    louder_left = np.stack([1.1 * FLOATS, -FLOATS], axis=1).astype(np.float32)
    np.testing.assert_array_equal(downmix(louder_right), FLOATS)
    np.testing.assert_array_equal(downmix(louder_left), louder_left[:, 0])


@pytest.mark.parametrize("form", ["mp4", "matroska"])
@pytest.mark.parametrize("default", [0, 1])
def test_of_several_tracks_the_default_is_heard(form: str, default: int) -> None:
    tracks = [SILENCE, SILENCE]
    tracks[default] = FLOATS[:, None]
    wave, _ = audio.load(encoded(form, "aac", *tracks, default=default), LIMITS)
    assert similarity(wave) > 0.98


def wav_claiming(channels: int = 1, rate: int = RATE) -> bytes:
    return riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, rate, 2 * rate, 2, 16)), DATA)


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4cac19622fc3\nsize 84977953\n"
UNKNOWN_CODEC = encoded("matroska", "aac", FLOATS[:, None]).replace(b"A_AAC", b"A_ZZZ")
REFUSED: dict[str, tuple[bytes, str]] = {
    "a codec that nobody knows": (UNKNOWN_CODEC, "cannot read this as audio|codec that FFmpeg does not know"),
    "a film without sound": (pictures_alone(), "file holds no audio stream"),
    "a picture": (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1".ljust(3000, b"\1"), "start with b'.xff.xd8.xff.xe0"),
    "a web page": (b"<!DOCTYPE html><html><title>404 Not Found</title></html>", "start with b'<!DOCTYPE ht'"),
    "a pointer of Git LFS": (LFS_POINTER, "start with b'version http'"),
    "a WAV in base64": (b"UklGRqqXAgBXQVZFZm10IBAAAAAB", "start with b'UklGRqqXAgBX'"),
    "DSD": (b"DSD " + bytes(4000), "start with b'DSD "),
    "a text in UTF-16": ("the minutes of our meeting\n".encode("utf-16") * 100, "cannot read this as audio"),
    "a WAV of 0 Hz": (wav_claiming(rate=0), "cannot read|sampling rate"),
    "a WAV without channels": (wav_claiming(channels=0), "Channel count is zero"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_recording_is_told_by_its_first_bytes(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(AudioError, match=message):
        audio.load(data, LIMITS)
