"""What callers hold -> what travels."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asr_client import Audio, InvalidAudio, MessageTooLarge
from asr_client._audio import Payload, load
from asr_client._uploads import InPieces, prepare
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

LIMIT = 2**20


def loaded(source: Any, *format: Any) -> Payload:
    payload = prepare(Audio(source, *format), LIMIT, None)
    assert isinstance(payload, Payload)
    return payload


@pytest.mark.parametrize("make", [str, Path, Path.read_bytes, lambda path: io.BytesIO(path.read_bytes())])
def test_files_travel_as_they_are(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"RIFF1234")
    assert loaded(make(path)) == Payload(b"RIFF1234", "file")


@pytest.mark.parametrize("make", [bytearray, memoryview])
def test_bytes_like_objects_are_bytes(make: Any) -> None:
    assert loaded(make(b"RIFF")).data == b"RIFF"


def test_a_file_needs_no_parameters() -> None:
    assert loaded(b"RIFF").parameters() == {}


def test_raw_pcm_says_what_it_is() -> None:
    assert loaded(b"\0\0\0\0", 8000, "pcm_s16le", 2).parameters() == {
        "encoding": "pcm_s16le",
        "sample_rate": 8000,
        "channels": 2,
    }


def test_pipe_can_be_read() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(b"RIFF")
    with os.fdopen(reading, "rb") as file:
        assert loaded(file).data == b"RIFF"


@settings(deadline=None)
@given(hnp.arrays(np.int16, st.tuples(st.integers(8, 64), st.integers(1, 8))))
def test_int16_travels_as_it_is(samples: np.ndarray[Any, Any]) -> None:
    payload = loaded(samples, 16000)
    assert (payload.encoding, payload.channels) == ("pcm_s16le", samples.shape[1])
    assert np.array_equal(np.frombuffer(payload.data, "<i2").reshape(samples.shape), samples)


@settings(deadline=None)
@given(
    st.sampled_from(["<f2", "<f4", ">f4", "<f8"]).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), 9)),
)
def test_floats_travel_as_float32(samples: np.ndarray[Any, Any]) -> None:
    payload = loaded(samples, 16000)
    assert payload.encoding == "pcm_f32le"
    with np.errstate(over="ignore"):
        expected = samples.astype(np.float32)
    assert np.array_equal(np.frombuffer(payload.data, "<f4"), expected, equal_nan=True)


@pytest.mark.parametrize(
    ("samples", "floats"),
    [
        (np.array([-(2**31), 0, 2**30], dtype=np.int32), [-1.0, 0.0, 0.5]),
        (np.array([0, 128, 192], dtype=np.uint8), [-1.0, 0.0, 0.5]),
    ],
)
def test_integers_are_scaled_as_in_wav_files(samples: np.ndarray[Any, Any], floats: list[float]) -> None:
    assert np.frombuffer(loaded(samples, 16000).data, "<f4").tolist() == floats


def test_too_large_floats_are_left_to_the_server() -> None:
    assert np.isinf(np.frombuffer(loaded(np.array([1e300]), 16000).data, "<f4")[0])


def test_strided_array_travels_in_order() -> None:
    stereo = np.arange(20, dtype=np.int16).reshape(2, 10).T
    assert np.frombuffer(loaded(stereo, 16000).data, "<i2").tolist() == stereo.ravel().tolist()


@pytest.mark.parametrize("rate", [16000, np.int64(16000), 16000.0, np.float32(16000)])
def test_whole_rates_of_any_type(rate: Any) -> None:
    assert loaded(np.zeros(4), rate).sampling_rate == 16000


@pytest.mark.parametrize(
    ("source", "format", "message"),
    [
        (np.zeros(4), (), "does not tell its sampling rate"),
        (np.zeros(4), (0,), "sampling_rate is 0; needs a whole number"),
        (np.zeros(4), (22050.5,), "sampling_rate is 22050.5; needs a whole number"),
        (np.zeros(4), ("16k",), "sampling_rate is '16k'"),
        (np.zeros(4), (True,), "sampling_rate is True"),
        (np.zeros(4), (16000, "pcm_f32le"), "encoding is given for a numpy array"),
        (np.zeros(4), (16000, None, 1), "channels is given for a numpy array"),
        (np.zeros(0), (16000,), r"shape \[0\]: 0 samples"),
        (np.zeros((2, 9)), (16000,), r"shape \[2, 9\]: more channels than samples.*array\.T"),
        (np.zeros((99, 65)), (16000,), "65 channels .* at most 64"),
        (np.zeros((1, 9, 2)), (16000,), r"needs \[samples\] or \[samples, channels\]"),
        (np.zeros(()), (16000,), r"shape \[\]; needs"),
        (np.zeros(4, dtype=np.int64), (16000,), "dtype int64; needs a float type"),
        (np.zeros(4, dtype=np.uint16), (16000,), "dtype uint16"),
        (np.zeros(4, dtype=complex), (16000,), "dtype complex128"),
        ([0.0, 0.1], (16000,), "audio is list; needs a path.*np.asarray"),
        (None, (), "audio is NoneType; needs a path, bytes"),
        (b"", (), "empty: 0 bytes"),
        (b"RIFF", (16000,), "sampling_rate is given for an audio file.*encoding='pcm_s16le'"),
        (b"RIFF", (None, None, 1), "channels is given for an audio file"),
        (b"\0\0", (None, "pcm_s16le"), "needs sampling_rate"),
        (b"\0\0", (16000, "pcm_s24le"), "encoding is 'pcm_s24le'; needs one of file, pcm_s16le, pcm_f32le"),
        (b"\0\0", (16000, "pcm_s16le", 0), "channels is 0"),
        ("missing.wav", (), "cannot read missing.wav: No such file or directory"),
        (
            "https://host//a.wav?x=1",
            (),
            r"^https://host//a\.wav\?x=1 is an address, and the client downloads nothing; needs a path",
        ),
        (".", (), "cannot read .: Is a directory"),
        ("nul\0", (), "cannot read 'nul"),
        (io.StringIO("text"), (), "gives str; needs bytes: open it with mode 'rb'"),
    ],
)
def test_unusable_audio_is_refused_with_a_way_out(source: Any, format: Any, message: str) -> None:
    with pytest.raises(InvalidAudio, match=message):
        loaded(source, *format)


def test_closed_file_object_is_refused() -> None:
    file = io.BytesIO(b"RIFF")
    file.close()
    with pytest.raises(InvalidAudio, match="closed file"):
        loaded(file)


def test_missing_file_keeps_its_cause() -> None:
    with pytest.raises(InvalidAudio) as caught:
        loaded("missing.wav")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(MessageTooLarge, match=r"1,099,511,627,776 bytes does not fit"):
        load(Audio(path), LIMIT)


def test_endless_file_object_is_not_read_to_its_end() -> None:
    with Path("/dev/zero").open("rb") as file:
        endless = prepare(Audio(file), LIMIT, None)
    assert isinstance(endless, InPieces)
    assert "audio of unknown size does" in str(endless.reason)


@pytest.mark.parametrize(
    ("source", "name"), [("a/b.wav", "a/b.wav"), (Path("c.wav"), "c.wav"), (b"RIFF", None), (io.BytesIO(), None)]
)
def test_name(source: Any, name: str | None) -> None:
    assert Audio(source).name == name
