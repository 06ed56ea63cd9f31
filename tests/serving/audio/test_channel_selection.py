"""One channel of a recording: its samples are those of the channel alone, in every format."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from asr_contract.errors import AudioError, ParameterError, channels_of
from asr_serving.audio import container, request, waveform
from asr_serving.audio.container import PcmFormat
from asr_serving.audio.samples import Selection
from asr_serving.audio.waveform import Limits
from odd_recordings import encoded

RATE = 16_000
LIMITS = Limits(sampling_rate=RATE, min_samples=400, max_seconds=20)


def sides(channels: int = 2, rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    """A tone of its own in each channel, float32 `[samples, channels]`, exact in 16 bits."""
    places = np.arange(int(seconds * rate))
    tones = [0.3 * np.sin(2 * np.pi * 200 * (number + 1) * places / rate) for number in range(channels)]
    return (np.round(np.stack(tones, axis=1) * 32768) / 32768).astype(np.float32)


def written(samples: np.ndarray, form: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form)
    return buffer.getvalue()


def load(data: bytes, channel: int | None = None, of: int | None = None, pcm: PcmFormat | None = None) -> np.ndarray:
    return waveform.load(data, LIMITS, pcm, Selection(channel, of))[0]


@pytest.mark.parametrize("rate", [8_000, RATE, 44_100])
@pytest.mark.parametrize("form", ["WAV", "FLAC", "W64", "AIFF"])
def test_a_channel_is_the_file_of_it_alone(form: str, rate: int) -> None:
    samples = sides(3, rate)
    for channel in range(3):
        heard = load(written(samples, form, rate), channel, of=3)
        np.testing.assert_array_equal(heard, load(written(samples[:, channel], form, rate)))


PCM: dict[str, Callable[[np.ndarray], bytes]] = {
    "pcm_s16le": lambda samples: (samples * 32768).astype("<i2").tobytes(),
    "pcm_f32le": lambda samples: samples.astype("<f4").tobytes(),
}


@pytest.mark.parametrize("encoding", PCM)
def test_so_it_is_in_raw_samples(encoding: str) -> None:
    samples = sides()
    for channel in range(2):
        heard = load(PCM[encoding](samples), channel, pcm=PcmFormat(encoding, RATE, 2))
        np.testing.assert_array_equal(heard, samples[:, channel])


@pytest.mark.parametrize(
    ("form", "codec", "rate"),
    [
        ("mp3", "libmp3lame", RATE),
        ("ipod", "aac", RATE),
        ("ogg", "libopus", 48_000),
        ("matroska", "pcm_s16le", RATE),  # whole numbers, interleaved
    ],
)
def test_so_it_is_in_what_ffmpeg_reads(form: str, codec: str, rate: int) -> None:
    samples = sides(rate=rate)
    both = encoded(form, codec, samples, rate=rate, layout="stereo")
    for channel in range(2):
        heard = load(both, channel, of=2)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
        strongest, other = (
            spectrum[round(hertz * len(heard) / RATE)] for hertz in (200 + 200 * channel, 400 - 200 * channel)
        )
        assert strongest > 100 * other


def test_where_libsndfile_stops_early_ffmpeg_goes_on_in_the_same_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = sides(seconds=10)
    read = soundfile.SoundFile.buffer_read_into

    def stop_early(file: soundfile.SoundFile, buffer: np.ndarray, dtype: str) -> int:
        frames: int = read(file, buffer[:RATE], dtype) if file.tell() < 2 * RATE else 0
        return frames

    monkeypatch.setattr(container._SoundFile, "buffer_read_into", stop_early)
    for channel in range(2):
        np.testing.assert_array_equal(load(written(samples, "FLAC"), channel), samples[:, channel])


def test_without_a_selection_all_are_heard() -> None:
    samples = sides()
    mean = load(written(samples, "WAV"))
    np.testing.assert_array_equal(mean, samples.mean(axis=1, dtype=np.float32))
    np.testing.assert_array_equal(load(written(samples, "WAV"), of=2), mean)


@pytest.mark.parametrize(
    ("form", "codec"), [("wav", "pcm_s16le"), ("mp3", "libmp3lame"), ("ipod", "aac")], ids=["WAV", "MP3", "M4A"]
)
@pytest.mark.parametrize(
    ("layout", "selection", "message"),
    [
        ("mono", Selection(1, 2), "the recording has 1 channel; of_channels=2 needs 2"),
        ("mono", Selection(1), "the recording has 1 channel; channel=1 needs 2 or more, counted from 0"),
        ("stereo", Selection(0, 1), "the recording has 2 channels; of_channels=1 needs 1"),
        ("stereo", Selection(None, 6), "the recording has 2 channels; of_channels=6 needs 6"),
    ],
)
def test_other_channels_are_refused_and_the_error_tells_their_number(
    form: str, codec: str, layout: str, selection: Selection, message: str
) -> None:
    channels = 1 if layout == "mono" else 2
    with pytest.raises(AudioError, match=f"^{message}$") as refused:
        waveform.load(encoded(form, codec, sides(channels), layout=layout), LIMITS, None, selection)
    assert channels_of(str(refused.value)) == channels


def test_raw_samples_are_refused_likewise() -> None:
    with pytest.raises(AudioError, match="the recording has 1 channel; of_channels=2 needs 2"):
        load(bytes(64_000), 0, of=2, pcm=PcmFormat("pcm_s16le", RATE, 1))


def test_a_number_of_channels_that_changes_is_refused_where_one_of_them_is_asked_for() -> None:
    joined = encoded("mp3", "libmp3lame", sides(), layout="stereo") + encoded("mp3", "libmp3lame", sides(1))
    assert len(load(joined)) > 1.9 * RATE
    with pytest.raises(AudioError, match="the number of channels changes from 2 to 1 within the file"):
        load(joined, 0)


def test_other_errors_tell_no_number() -> None:
    assert channels_of("audio has 65 channels; needs 1 to 64") is None


def test_the_parameters_are_checked() -> None:
    assert request.selection({}) == Selection()
    assert request.selection({"channel": "1", "of_channels": 2, "vad": True}) == Selection(1, 2)
    with pytest.raises(ParameterError, match="channel is -1; needs a whole number from 0 to 63"):
        request.selection({"channel": -1})
    with pytest.raises(ParameterError, match="of_channels is 65; needs a whole number from 1 to 64"):
        request.selection({"of_channels": 65})
