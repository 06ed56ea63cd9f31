"""The preprocess step's pure part: bytes -> waveform."""

import io
import struct

import av
import numpy as np
import pytest
import soundfile
from asr_contract.errors import AudioError
from asr_serving.audio import container, waveform
from asr_serving.audio.waveform import Limits, PcmFormat
from hypothesis import given
from hypothesis import strategies as st

LIMITS = Limits(sampling_rate=16_000, min_samples=400, max_seconds=20)


def tone(seconds: float, rate: int, channels: int = 1, hertz: float = 440) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encode(samples: np.ndarray, rate: int, container: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def encode_by_ffmpeg(samples: np.ndarray, rate: int, container: str, codec: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.T.copy(), format="flt", layout="mono")
        frame.sample_rate = rate
        to_codec = av.AudioResampler(format=stream.format, frame_size=stream.frame_size or None)
        for piece in [*to_codec.resample(frame), *to_codec.resample(None), None]:
            file.mux(stream.encode(piece))
    return buffer.getvalue()


def frequency(wave: np.ndarray) -> float:
    """Hz of the strongest component at 16 kHz."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(spectrum.argmax() * 16_000 / len(wave))


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_rate_comes_out_at_the_models_rate(rate: int, channels: int) -> None:
    wave, seconds = waveform.load(encode(tone(1.5, rate, channels), rate, "WAV"), LIMITS)
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert seconds == pytest.approx(1.5, abs=1e-3)
    assert len(wave) == pytest.approx(24_000, abs=2)
    assert frequency(wave) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"),
     ("MP3", None), ("AIFF", None), ("WAV", "ULAW")],
)  # fmt: skip
def test_every_container_sounds_the_same(container: str, subtype: str | None) -> None:
    rate = 48_000
    wave, seconds = waveform.load(encode(tone(2, rate), rate, container, subtype), LIMITS)
    assert seconds == pytest.approx(2, abs=0.06)  # lossy codecs add a frame
    assert frequency(wave) == pytest.approx(440, abs=1)
    assert np.abs(wave[8_000:16_000]).max() == pytest.approx(0.3, abs=0.03)


def test_what_libsndfile_does_not_read_goes_to_ffmpeg() -> None:
    wave, seconds = waveform.load(encode_by_ffmpeg(tone(2, 44_100), 44_100, "mp4", "aac"), LIMITS)
    assert seconds == pytest.approx(2, abs=0.1)
    assert frequency(wave) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_libsndfile_is_not_asked_about_ogg(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loses memory with each Ogg file that it refuses."""
    data = encode(tone(2, 48_000), 48_000, "OGG", codec)
    monkeypatch.setattr(soundfile, "SoundFile", None)
    _, seconds = waveform.load(data, LIMITS)
    assert seconds == pytest.approx(2, abs=0.06)
    with pytest.raises(AudioError, match=r"cannot read this as audio: 500 bytes that start with b'OggS"):
        waveform.load(data[:500], LIMITS)


@pytest.mark.parametrize("form", ["ogg", "webm"])
def test_samples_of_opus_are_where_they_were(form: str) -> None:
    """libsndfile leaves the pre-skip of FFmpeg's Ogg Opus in, 6.5 ms, until its first seek."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (96_000, 1)).astype(np.float32)
    data = encode_by_ffmpeg(noise, 48_000, form, "libopus")
    decoded = np.concatenate([piece for piece, _ in container.blocks(io.BytesIO(data))])
    match = np.correlate(decoded[1_000:91_000], noise[2_000:90_000, 0])
    assert match.argmax() == 1_000


def test_more_channels_than_ffmpegs_frames_have_room_for() -> None:
    """A process of the server ended over one such file: nine planes of samples are more than PyAV looks for."""
    samples = np.zeros((16_000, 16), np.float32)
    samples[:, 9] = 16 * tone(1, 16_000)[:, 0]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("pcm_f32le", rate=16_000, layout="hexadecagonal")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="hexadecagonal")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    wave, seconds = waveform.load(buffer.getvalue(), LIMITS)
    assert seconds == 1
    np.testing.assert_allclose(wave, tone(1, 16_000)[:, 0], atol=1e-6)


def test_16_bit_pcm_equals_the_file_it_came_from() -> None:
    samples = (tone(1, 16_000)[:, 0] * 32767).astype("<i2")
    from_file, _ = waveform.load(encode(samples, 16_000, "WAV"), LIMITS)
    from_pcm, _ = waveform.load(samples.tobytes(), LIMITS, PcmFormat("pcm_s16le", 16_000, 1))
    np.testing.assert_array_equal(from_file, from_pcm)


def test_float_pcm_is_interleaved_and_downmixed() -> None:
    stereo = np.stack([tone(1, 16_000)[:, 0], np.zeros(16_000, np.float32)], axis=1)
    wave, _ = waveform.load(stereo.tobytes(), LIMITS, PcmFormat("pcm_f32le", 16_000, 2))
    np.testing.assert_allclose(wave, stereo[:, 0] / 2, atol=1e-7)


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    wave, _ = waveform.load(encode(tone(1, 48_000, hertz=12_000), 48_000, "WAV"), LIMITS)
    assert np.abs(wave[1_000:-1_000]).max() < 1e-3


def whole_wav() -> bytes:
    return encode(tone(1, 16_000), 16_000, "WAV")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, this is text and not a recording at all", "cannot read this as audio.*WAV, FLAC"),
        (whole_wav()[:20_000], "cut short.*claims 32000 bytes.*the file has 19956"),
        (whole_wav()[:30], "cut short"),
        (encode(tone(1, 16_000), 16_000, "FLAC")[:3_000], "cut short|cannot read"),
        (encode(np.zeros((0, 1), np.float32), 16_000, "WAV"), "0 samples"),
        (encode(tone(0.024, 16_000), 16_000, "WAV"), "too short: 24.0 ms.*25.0 ms"),
        (encode(tone(20.5, 8_000), 8_000, "WAV"), "too long: 20.* up to 20 s"),
        (encode(np.full((800, 1), np.nan, np.float32), 16_000, "WAV", "FLOAT"), "NaN"),
        (encode(np.full((800, 1), np.inf, np.float32), 16_000, "WAV", "FLOAT"), "NaN, Inf"),
        (encode(tone(1, 2_000), 2_000, "WAV"), "sampling rate is 2000 Hz"),
        (encode(np.zeros((16, 65), np.float32), 16_000, "WAV"), "has 65 channels; needs 1 to 64"),
        (b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 2_000, "no samples found"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n", "cannot read this as audio"),
    ],
)  # fmt: skip
def test_what_is_not_a_recording_is_refused_with_a_reason(data: bytes, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        waveform.load(data, LIMITS)


@pytest.mark.parametrize(
    ("data", "pcm", "message"),
    [
        (b"\0" * 3201, PcmFormat("pcm_s16le", 16_000, 1), "whole number of 2-byte frames"),
        (b"\0" * 3202, PcmFormat("pcm_s16le", 16_000, 2), "whole number of 4-byte frames"),
        (np.array([0.1] * 999 + [np.nan], "<f4").tobytes(), PcmFormat("pcm_f32le", 16_000, 1), "NaN"),
        (np.array([3e38] * 1000, "<f4").tobytes(), PcmFormat("pcm_f32le", 16_000, 1), "beyond"),
    ],
)
def test_bad_pcm_is_refused_with_a_reason(data: bytes, pcm: PcmFormat, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        waveform.load(data, LIMITS, pcm)


def test_silence_is_a_recording() -> None:
    wave, seconds = waveform.load(encode(np.zeros((16_000, 1), np.float32), 16_000, "WAV"), LIMITS)
    assert (seconds, wave.any()) == (1, False)


def test_a_chunk_after_the_samples_is_no_fault() -> None:
    data = whole_wav() + b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert waveform.load(data, LIMITS)[1] == 1


def test_more_than_the_bytes_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that does not end; it is asked for a second each time."""
    monkeypatch.setattr(container._SoundFile, "buffer_read_into", lambda _, buffer, dtype: len(buffer))
    data = encode(tone(1, 16_000), 16_000, "WAV")
    blocks = container.blocks(io.BytesIO(data))
    with pytest.raises(AudioError, match=f"{len(data)} bytes cannot hold 125 s and more"):
        for _ in blocks:
            pass


def test_hours_of_silence_in_few_bytes_are_no_fault() -> None:
    data = encode(np.zeros((1800 * 16_000, 1), np.float32), 16_000, "FLAC")
    assert sum(len(piece) for piece, _ in container.blocks(io.BytesIO(data))) == 1800 * 16_000


def test_a_header_that_claims_an_absurd_rate_is_refused_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(soundfile.SoundFile, "buffer_read_into", lambda *_, **__: pytest.fail("samples were decoded"))
    bomb = encode(np.zeros((16_000, 8), np.float32), 655_350, "FLAC")
    with pytest.raises(AudioError, match="sampling rate is 655350 Hz; needs 4000 to 384000"):
        waveform.load(bomb, LIMITS)


def test_many_channels_are_downmixed_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(tone(1, 16_000, channels=3), 16_000, "WAV", "FLOAT")
    whole, _ = waveform.load(data, LIMITS)
    monkeypatch.setattr(container, "BLOCK_SAMPLES", 1_000)
    np.testing.assert_array_equal(waveform.load(data, LIMITS)[0], whole)


@given(st.binary(max_size=300), st.integers(0, 44))
def test_any_bytes_give_audio_or_an_audio_error(noise: bytes, keep: int) -> None:
    data = whole_wav()[:keep] + noise
    try:
        wave, _ = waveform.load(data, LIMITS)
    except AudioError:
        return
    assert np.isfinite(wave).all()


def test_a_header_that_claims_frames_without_end_is_no_endless_work() -> None:
    data = bytearray(encode(tone(1, 16_000), 16_000, "AIFF"))
    place = data.index(b"COMM") + 8
    data[place + 2 : place + 6] = b"\x7f\xff\xff\xff"  # the number of sample frames
    place = data.index(b"SSND") + 4
    data[place : place + 4] = b"\x7f\xff\xff\xf0"
    wave, _ = waveform.load(bytes(data), LIMITS)
    assert len(wave) <= 16_100
