"""Every container and codec that we take: whole, cut off, one after the other, and written to a pipe."""

import numpy as np
import pytest
from recordings import FRAGMENTS, KINDS, by_ffmpeg, decoded, loud, recording, speech
from samples import AudioError

BEGIN_S, END_S = 0.251, 4.812  # of the sentence
SECONDS = 5.308
CUTS = (0.33, 0.55, 0.8, 0.97)
PAGE_S = 1.3  # the most that containers keep together; an end is lost with its page
LAST_S = 0.1  # of what is there sounds otherwise without what follows


def assert_prefix(part: np.ndarray, whole: np.ndarray, rate: int) -> None:
    """The one is the beginning of the other, but for the last moment."""
    same = max(0, len(part) - round(LAST_S * rate))
    assert same <= len(whole)
    np.testing.assert_allclose(part[:same], whole[:same], atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_is_heard_once_with_its_own_duration(name: str) -> None:
    samples, rate = decoded(recording(name))
    assert len(samples) / rate == pytest.approx(SECONDS, abs=KINDS[name].slack_s)
    begin_s, end_s = loud(samples, rate)
    assert begin_s == pytest.approx(BEGIN_S, abs=KINDS[name].slack_s)
    assert end_s - begin_s == pytest.approx(END_S - BEGIN_S, abs=0.02)
    if KINDS[name].is_lossless:
        np.testing.assert_array_equal(samples, speech())


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.tells_cut])
def test_of_a_file_that_is_cut_off_there_is_what_is_there(name: str) -> None:
    whole, rate = decoded(recording(name))
    for share in CUTS:
        part, _ = decoded(recording(name)[: int(share * len(recording(name)))])
        assert share * SECONDS - PAGE_S < len(part) / rate < share * SECONDS + 0.4
        assert_prefix(part, whole, rate)


@pytest.mark.parametrize("share", CUTS)
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.tells_cut])
def test_a_cut_that_shows_is_refused(name: str, share: float) -> None:
    with pytest.raises(AudioError, match=r"cut short|cannot read this as audio: \d+ bytes|no audio stream"):
        decoded(recording(name)[: int(share * len(recording(name)))])


JOINABLE = (
    *("mp3", "mp3 vbr", "mp3 vbr without xing", "aac", "ac3"),
    *("ogg opus", "ogg vorbis", "ts aac", "mka aac", "webm opus"),
)


@pytest.mark.parametrize("name", JOINABLE)
def test_two_files_one_after_the_other_are_heard_both(name: str) -> None:
    whole, rate = decoded(recording(name))
    both, _ = decoded(2 * recording(name))
    assert len(both) / len(whole) == pytest.approx(2, abs=0.03)
    same = round(END_S * rate)
    np.testing.assert_allclose(both[:same], whole[:same], atol=1e-5)
    begin_s, end_s = loud(both[len(whole) :], rate)
    assert begin_s == pytest.approx(loud(whole, rate)[0], abs=0.1)
    assert end_s == pytest.approx(loud(whole, rate)[1], abs=0.1)


def test_mono_and_stereo_one_after_the_other_are_heard_both() -> None:
    mono = by_ffmpeg("mp3", "libmp3lame", 44_100)
    stereo = by_ffmpeg("mp3", "libmp3lame", 44_100, layout="stereo")
    samples, rate = decoded(mono + stereo)
    assert len(samples) / rate == pytest.approx(2 * SECONDS, abs=0.1)
    assert loud(samples, rate)[1] == pytest.approx(SECONDS + END_S, abs=0.1)


def test_other_rates_within_a_file_are_refused() -> None:
    with pytest.raises(AudioError, match="sampling rate changes from 44100 to 16000 Hz within the file"):
        decoded(by_ffmpeg("mp3", "libmp3lame", 44_100) + by_ffmpeg("mp3", "libmp3lame", 16_000))


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("wav", "pcm_s16le", {}),
        ("wav", "pcm_f32le", {}),
        ("wav", "pcm_s16le", {"rf64": "always"}),
        ("wav", "pcm_mulaw", {}),
        ("wav", "adpcm_ima_wav", {}),
        ("wav", "adpcm_ms", {}),
        ("w64", "pcm_s16le", {}),
        ("aiff", "pcm_s16be", {}),
        ("au", "pcm_s16be", {}),
        ("caf", "pcm_s16le", {}),
        ("flac", "flac", {}),
        ("mp3", "libmp3lame", {}),
        ("adts", "aac", {}),
        ("mp4", "aac", FRAGMENTS),
        ("webm", "libopus", {}),
        ("matroska", "aac", {}),
        ("ogg", "libopus", {}),
        ("mpegts", "aac", {}),
        ("asf", "wmav2", {}),
    ],
)
def test_a_file_that_was_written_to_a_pipe_is_heard_to_its_end(
    container: str, codec: str, options: dict[str, str]
) -> None:
    rate = 48_000 if codec == "libopus" else 16_000
    bits = {"b": "64000"} if codec == "wmav2" else {}
    data = by_ffmpeg(container, codec, rate, container_options=options, codec_options=bits, pipe=True)
    samples, _ = decoded(data)
    if codec in ("pcm_s16le", "pcm_s16be", "pcm_f32le", "flac"):
        np.testing.assert_array_equal(samples, speech())
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.15)
    begin_s, end_s = loud(samples, rate)
    assert begin_s == pytest.approx(BEGIN_S, abs=0.15)
    assert end_s - begin_s == pytest.approx(END_S - BEGIN_S, abs=0.02)


def test_a_flac_of_unknown_length_is_heard_to_its_end_however_long_it_is() -> None:
    long = np.tile(speech(), 8)  # more than a block
    data = by_ffmpeg("flac", "flac", samples=[(0, long)], pipe=True)
    samples, _ = decoded(data)
    np.testing.assert_array_equal(samples[: len(long)], long)
    assert len(samples) < len(long) + 5_000  # the last frame is filled up


@pytest.mark.parametrize(
    ("container", "codec", "layout", "step"),
    [
        ("matroska", "pcm_s16le", "stereo", 0.0),
        ("matroska", "alac", "5.1", 0.0),  # as planes
        ("matroska", "alac", "7.1(wide)", 0.0),  # as many planes as a frame has room for
        ("matroska", "wavpack", "hexadecagonal", 2**-8),  # more
        ("wav", "pcm_u8", "5.1", 2**-8),
        ("wav", "pcm_s64le", "mono", 0.0),
        ("wav", "pcm_f64le", "stereo", 0.0),
    ],
)
def test_channels_and_samples_of_all_formats(container: str, codec: str, layout: str, step: float) -> None:
    """A process of the server ended over planes: PyAV looks for the end of their list, which has none after eight."""
    samples, rate = decoded(by_ffmpeg(container, codec, layout=layout))
    assert rate == 16_000
    np.testing.assert_allclose(samples[: len(speech())], speech(), atol=step + 1e-6)
    assert len(samples) == pytest.approx(len(speech()), abs=4_096)
