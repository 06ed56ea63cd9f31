"""What people hand to a speech client; docs/compatibility.md has the sources."""

import base64
import io
import os
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from asr_client import Audio, InvalidAudio
from asr_client._audio import Payload
from asr_client._uploads import pieces, prepare

SAMPLE = Path(__file__).parents[2] / "demo" / "samples" / "quilter.wav"
BYTES = SAMPLE.read_bytes()
LIMIT = 2**22


def load(audio: Audio, limit: int) -> Payload:
    payload = prepare(audio, limit, None)
    assert isinstance(payload, Payload)
    return payload


class BytesPath:
    """As os.scandir(b"…") gives them."""

    def __fspath__(self) -> bytes:
        return os.fsencode(SAMPLE)


def read_to_its_end() -> io.BytesIO:
    file = io.BytesIO()
    file.write(BYTES)
    return file


def test_a_path_of_bytes_is_a_path() -> None:
    audio = Audio(BytesPath())  # type: ignore[arg-type]
    assert load(audio, LIMIT).data == BYTES
    assert audio.name == str(SAMPLE)
    with pieces(audio).open() as file:
        assert file.read(LIMIT) == BYTES


def test_a_file_object_needs_no_name() -> None:
    unnamed = io.BytesIO(BYTES)
    assert not hasattr(unnamed, "name")
    assert load(Audio(unnamed), LIMIT).data == BYTES


def test_a_view_of_a_buffer_and_a_temporary_file_are_read() -> None:
    with tempfile.SpooledTemporaryFile() as file:
        file.write(BYTES)
        file.seek(0)
        assert load(Audio(file), LIMIT).data == BYTES
    every_second = memoryview(np.frombuffer(BYTES, np.uint8).repeat(2))[::2]
    assert load(Audio(every_second), LIMIT).data == BYTES


RATED = {"array": np.zeros(16_000), "sampling_rate": 16_000, "path": None}
REFUSED: dict[str, tuple[Any, str]] = {
    "a file object at its end": (
        read_to_its_end,
        rf"^audio is empty: 0 bytes from where the file object stands, at byte {len(BYTES):,}: call its seek\(0\)",
    ),
    "a file opened as text": (lambda: SAMPLE.open(), "^the file object gives text; needs bytes: .*'rb'$"),
    "a SoundFile": (lambda: soundfile.SoundFile(SAMPLE), "the file object gives ndarray; needs bytes"),
    "a wave.Wave_read": (lambda: wave.Wave_read(str(SAMPLE)), "audio is Wave_read; needs a path, bytes"),
    "a row of datasets": (lambda: RATED, r": give Audio\(item\['array'\], sampling_rate=item\['sampling_rate'\]\)$"),
    "(rate, array)": (lambda: (16_000, RATED["array"]), r": give Audio\(array, sampling_rate=rate\)$"),
    "(array, rate)": (lambda: (RATED["array"], 16_000), r": give Audio\(array, sampling_rate=rate\)$"),
    "a list": (lambda: [0.0] * 9, r": convert it with np\.asarray\(…\)$"),
    "a scalar": (lambda: np.float32(0), r": convert it with np\.asarray\(…\)$"),
    "a file descriptor": (lambda: 3, "^audio is int; needs a path"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_taken_is_told_with_the_way_out(name: str) -> None:
    make, message = REFUSED[name]
    source = make()
    try:
        with pytest.raises(InvalidAudio, match=message):
            load(Audio(source), LIMIT)
    finally:
        if hasattr(source, "close"):
            source.close()


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("data:audio/wav;base64,", r"^data:audio/wav;base64,.{1,200}… is an address, and the client downloads nothing"),
        ("", r"^audio is a str of [\d,]+ characters, Ukl.{1,200}…; a str has to be a path: if it is a file in base64"),
    ],
    ids=["data URL", "base64"],
)
def test_a_recording_within_a_str_does_not_fill_the_message(prefix: str, message: str) -> None:
    with pytest.raises(InvalidAudio, match=message) as caught:
        load(Audio(prefix + base64.b64encode(BYTES).decode()), LIMIT)
    assert len(str(caught.value)) < 500


def test_a_name_that_no_file_can_have_does_not_fill_the_message() -> None:
    with pytest.raises(InvalidAudio, match=r"^cannot read x{200}…: File name too long$"):
        load(Audio("x" * 4000), LIMIT)


def test_a_tensor_is_told_how_to_become_an_array() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidAudio, match=r"^audio is Tensor; .*: convert it with np\.asarray\(…\)$"):
        load(Audio(torch.zeros(9), 16_000), LIMIT)
    payload = load(Audio(np.asarray(torch.ones(9)), 16_000), LIMIT)
    assert (payload.encoding, payload.data) == ("pcm_f32le", np.ones(9, "<f4").tobytes())
