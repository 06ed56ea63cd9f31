"""The length of a WAV, RF64 or W64: known, unknown, or more than is here."""

import io
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from asr_contract.errors import AudioError
from asr_serving.audio import riff
from recordings import by_soundfile, decoded, recording, speech

SAMPLES_BYTES = 2 * len(speech())
HEADER_BYTES = 44


def claiming(samples: int, file: int | None = None) -> bytes:
    """A WAV of 16 bits with other sizes in its header."""
    data = bytearray(recording("wav pcm16"))
    assert data[36:40] == b"data"
    struct.pack_into("<I", data, 40, samples % 2**32)
    if file is not None:
        struct.pack_into("<I", data, 4, file)
    return bytes(data)


@pytest.mark.parametrize("file", [None, 0, 0xFFFFFFFF, 0x7FFFF024])
@pytest.mark.parametrize(
    "samples",
    [
        *(0, 0xFFFFFFFF),  # FFmpeg, browsers, Python
        *(0xFFFFFFFF - 36, 0xFFFFFFFF - HEADER_BYTES),
        *(0x7FFFF000, 0x7FFFFFFF, 0x80000000),  # SoX, espeak-ng, arecord
        *(SAMPLES_BYTES + 1, SAMPLES_BYTES + 36, SAMPLES_BYTES + HEADER_BYTES),
    ],
)
def test_unknown_lengths_and_those_that_are_a_little_off_go_to_the_end_of_the_file(
    samples: int, file: int | None
) -> None:
    np.testing.assert_array_equal(decoded(claiming(samples, file))[0], speech())


def test_the_file_may_be_on_disk_and_longer_than_a_block() -> None:
    from asr_serving.audio import container

    long = np.tile(speech(), 8)
    data = b"".join((claiming(0)[:HEADER_BYTES], (long * 32768).astype("<i2").tobytes()))
    with tempfile.TemporaryFile() as file:
        file.write(data)
        pieces = list(container.blocks(file))  # type: ignore[arg-type]
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([samples for samples, _ in pieces]), long)


@pytest.mark.parametrize("missing", [300, 3_000, SAMPLES_BYTES // 2, SAMPLES_BYTES])
def test_a_size_of_which_a_real_part_is_missing_is_refused(missing: int) -> None:
    here = SAMPLES_BYTES - missing
    message = f"WAV is cut short: its header claims {SAMPLES_BYTES} bytes of samples, the file has {here}"
    with pytest.raises(AudioError, match=message):
        decoded(recording("wav pcm16")[: HEADER_BYTES + here])


def test_what_is_smaller_than_the_rest_is_followed_by_something_else() -> None:
    samples, _ = decoded(claiming(SAMPLES_BYTES - 3_200))
    np.testing.assert_array_equal(samples, speech()[:-1_600])


@pytest.mark.parametrize("tail", [b"", b"LIST" + struct.pack("<I", 4) + b"INFO"])
def test_no_samples_are_no_samples_when_nothing_or_other_chunks_follow(tail: bytes) -> None:
    data = claiming(0)[:HEADER_BYTES] + tail
    assert len(decoded(data)[0]) == 0


def test_samples_of_nothing_but_zeros_are_no_chunks() -> None:
    samples, rate = decoded(claiming(0)[:HEADER_BYTES] + bytes(32_000))
    assert (len(samples), rate) == (16_000, 16_000)


@pytest.mark.parametrize("claimed", [0, 2**64 - 1, SAMPLES_BYTES + 24])
def test_rf64(claimed: int) -> None:
    data = bytearray(recording("rf64 pcm16"))
    place = data.index(b"ds64") + 8 + 8
    assert struct.unpack_from("<Q", data, place) == (SAMPLES_BYTES,)
    struct.pack_into("<Q", data, place, claimed)
    np.testing.assert_array_equal(decoded(bytes(data))[0], speech())
    with pytest.raises(AudioError, match="cut short"):
        decoded(recording("rf64 pcm16")[:-1_000])


@pytest.mark.parametrize("claimed", [0, 24, 2**63 - 1, 2**64 - 1, SAMPLES_BYTES + 48])
def test_w64(claimed: int) -> None:
    data = bytearray(recording("w64 pcm16"))
    place = data.index(b"data\xf3\xac\xd3\x11") + 16
    assert struct.unpack_from("<Q", data, place) == (SAMPLES_BYTES + 24,)
    struct.pack_into("<Q", data, place, claimed)
    np.testing.assert_array_equal(decoded(bytes(data))[0], speech())
    with pytest.raises(AudioError, match="cut short"):
        decoded(recording("w64 pcm16")[:-1_000])


def test_big_endian() -> None:
    buffer = bytearray(by_soundfile("WAV", "PCM_16", endian="BIG"))
    assert buffer[:4] == b"RIFX"
    struct.pack_into(">I", buffer, buffer.index(b"data") + 4, 0xFFFFFFFF)
    np.testing.assert_array_equal(decoded(bytes(buffer))[0], speech())


def test_other_files_are_as_they_are() -> None:
    for name in ("flac", "aiff pcm16", "mp3", "ogg opus"):
        file = io.BytesIO(recording(name))
        assert riff.of_known_length(file, len(recording(name))) is file


def test_nothing_but_empty_chunks_is_no_work_for_minutes() -> None:
    data = b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 1_000_000
    with pytest.raises(AudioError, match="no samples found in its 8000012 bytes"):
        decoded(data)


@pytest.mark.parametrize("whence", ["start", "middle", "end"])
def test_a_mended_file_reads_as_one_with_other_bytes(whence: str, tmp_path: Path) -> None:
    whole = claiming(0)
    expected = claiming(SAMPLES_BYTES, len(whole) - 8)
    mended = riff.of_known_length(io.BytesIO(whole), len(whole))
    at = {"start": 0, "middle": 41, "end": len(whole) - 5}[whence]
    for size in (1, 3, 100_000):
        mended.seek(at)
        assert mended.read(size) == expected[at : at + size]
        assert mended.tell() == min(at + size, len(whole))
