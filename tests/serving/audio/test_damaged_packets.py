"""A packet that cannot be decoded costs itself, not the recording."""

import io
import struct
import tempfile

import av
import numpy as np
import pytest
from asr_contract.errors import AudioError
from asr_serving.audio import ffmpeg_reader
from asr_serving.audio.samples import ALL
from recordings import by_ffmpeg, decoded, loud, recording, speech

# The decoder conceals a break: so long after it the samples may be other ones.
HEALED_S = 0.3


def packets(data: bytes) -> list[tuple[int, int]]:
    """Where each packet lies: first byte and size."""
    places, at = [], 0
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux(audio=0):
            if packet.size:
                at = data.index(bytes(packet), at)
                places.append((at, packet.size))
    return places


def damaged(data: bytes, first: int, last: int) -> bytes:
    """The same, but packets have turned into bytes that no codec knows."""
    changed = bytearray(data)
    for at, size in packets(data)[first:last]:
        changed[at : at + size] = b"\xff" * size
    return bytes(changed)


@pytest.mark.parametrize("name", ["m4a", "m4a fast start", "m4a alac", "mka aac", "3gp amr"])
@pytest.mark.parametrize("number", [1, 6])
def test_the_others_are_heard_at_their_time(name: str, number: int) -> None:
    """What is missing is silence, by the clock of the container."""
    whole, rate = decoded(recording(name))
    middle = len(packets(recording(name))) // 2
    samples, _ = decoded(damaged(recording(name), middle, middle + number))
    assert len(samples) == len(whole)
    different = np.flatnonzero(np.abs(samples - whole) > 1e-4)
    assert len(different)
    first_s, last_s = different[[0, -1]] / rate
    lost_s = number * len(whole) / rate / len(packets(recording(name)))
    assert first_s == pytest.approx(len(whole) / rate / 2, abs=0.3)
    assert last_s - first_s < lost_s + HEALED_S


@pytest.mark.parametrize("name", ["aac", "amr", "mp3", "wma", "ogg opus", "ts aac", "wav mp3", "ac3"])
def test_a_damaged_place_in_any_other_container_is_no_end(name: str) -> None:
    whole, rate = decoded(recording(name))
    data = bytearray(recording(name))
    middle = len(data) // 2
    data[middle : middle + 100] = b"\xff" * 100
    samples, _ = decoded(bytes(data))
    assert len(samples) / rate == pytest.approx(len(whole) / rate, abs=1.1)
    np.testing.assert_allclose(samples[:rate], whole[:rate], atol=1e-4)
    assert loud(samples, rate)[1] == pytest.approx(loud(whole, rate)[1], abs=1.1)
    end, found = whole[4 * rate : int(4.5 * rate)], samples[3 * rate :]
    likeness = np.correlate(found, end) / (end @ end)
    assert likeness.max() == pytest.approx(1, abs=0.05)


def test_a_flac_that_is_damaged_is_heard_however_long_it_is() -> None:
    """FFmpeg goes on where libsndfile breaks off, with the sample that follows."""
    long = np.tile(speech(), 8)
    data = by_ffmpeg("flac", "flac", samples=[(0, long)])
    whole, _ = decoded(data)
    at, size = packets(data)[-20]
    changed = bytearray(data)
    changed[at + size // 2] ^= 0x10
    samples, _ = decoded(bytes(changed))
    assert len(samples) == len(whole) > 2**18
    different = np.flatnonzero(samples != whole)
    assert 0 < different[-1] - different[0] < 5_000
    assert different[0] > 2**18


@pytest.mark.parametrize("name", ["m4a", "mka aac", "3gp amr"])
def test_more_broken_than_whole_packets_are_refused(name: str) -> None:
    count = len(packets(recording(name)))
    with pytest.raises(AudioError, match=r"audio is broken: \d+ packets of it cannot be decoded, \d+ can"):
        decoded(damaged(recording(name), count // 4, count))
    with pytest.raises(AudioError, match=r"cannot read this as audio: .*FFmpeg: "):
        decoded(damaged(recording(name), 0, count))


def test_a_container_that_cannot_be_followed_to_its_end_is_refused() -> None:
    """What comes after that place may be most of it."""
    with pytest.raises(AudioError, match=r"audio is broken after 5\.3\d s \(FFmpeg: Invalid argument\)"):
        decoded(recording("ogg vorbis") + recording("ogg opus"))


@pytest.mark.parametrize("name", ["ogg opus", "ogg vorbis", "ts aac", "mp3", "aac", "webm opus", "m4a", "wma", "flac"])
@pytest.mark.parametrize("tail", [bytes(100_000), b"and more than belongs there" * 200])
def test_what_follows_the_end_changes_nothing(name: str, tail: bytes) -> None:
    whole, rate = decoded(recording(name))
    samples, _ = decoded(recording(name) + tail)
    assert len(samples) / rate == pytest.approx(len(whole) / rate, abs=0.2)
    np.testing.assert_allclose(samples[: len(whole) - rate // 2], whole[: -(rate // 2)], atol=1e-5)


def test_where_both_readers_fail_the_message_names_what_each_said() -> None:
    message = r"\(libsndfile: Format not recognised; FFmpeg: Invalid data found when processing input\)"
    with pytest.raises(AudioError, match=message):
        decoded(b"this is a text, and not a recording of someone who reads it")
    with pytest.raises(AudioError, match=r"start with b'OggS.*\(FFmpeg: End of file\)"):
        decoded(recording("ogg opus")[:500])


def test_a_size_that_points_far_behind_the_end_of_a_file_on_disk_is_no_failure_of_the_server() -> None:
    """A file system refuses to seek to such a place, where bytes in memory just have no more."""
    data = bytearray(recording("caf pcm16"))
    at = data.index(b"data")
    second = 4 + 2 * 16_000
    struct.pack_into(">q", data, at + 4, second)
    struct.pack_into(">4sq", data, at + 12 + second, b"junk", 2**50)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        pieces = list(ffmpeg_reader.read(file, len(data), None, ALL))  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.concatenate([samples for samples, _ in pieces]), speech()[:16_000])


def test_a_stream_that_begins_on_the_way_is_no_failure_of_the_server() -> None:
    """PyAV looks for it in a list that was made before."""
    other = {"mpegts_start_pid": "800", "mpegts_pmt_start_pid": "900"}
    whole, _ = decoded(recording("ts aac"))
    for _ in range(5):
        samples, _ = decoded(recording("ts aac") + by_ffmpeg("mpegts", "aac", container_options=other))
        np.testing.assert_array_equal(samples[: len(whole) - 2_000], whole[:-2_000])
