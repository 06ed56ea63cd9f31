"""`triton-asr stream`: files, raw samples and how results are shown."""

import io
import json
import signal
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command_line import Run
from fake_inference import FakeTriton
from recordings import recording as spoken

from tests.client.test_client_stream import FINAL, RATE, two_words


@pytest.fixture
def server(grpc_triton: FakeTriton) -> list[str]:
    grpc_triton.live_model = two_words
    return ["-u", grpc_triton.url]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Half a second, 16 bits, two channels."""
    path = tmp_path / "two.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(2 * 2 * RATE // 2))
    return path


def test_final_segments_are_lines(run: Run, server: list[str], recording: Path, grpc_triton: FakeTriton) -> None:
    ran = run("stream", *server, recording, "--hotwords", "acme", "--silence-ms", 500)
    assert (ran.code, ran.out, ran.err) == (0, "one two\n", "")
    format = {"encoding": "pcm_s16le", "sample_rate": RATE, "channels": 2}
    expected = {**format, "hotwords": "acme", "silence_ms": 500}
    assert grpc_triton.seen[0].parameters == expected
    assert sum(map(len, grpc_triton.live_pieces)) == 2 * 2 * RATE // 2


def test_json_has_every_result(run: Run, server: list[str], recording: Path) -> None:
    results = [json.loads(line) for line in run("stream", *server, recording, "-f", "json").out.splitlines()]
    assert [(result["text"], result["is_final"]) for result in results] == [
        ("one", False),
        ("one tw", False),
        ("one two", True),
    ]
    assert results[-1]["words"] == FINAL["words"]


def test_a_terminal_is_redrawn(run: Run, server: list[str], recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = run("stream", *server, recording).out
    assert out == "\r\033[Kone\r\033[Kone tw\r\033[Kone two\n"


def test_what_is_shown_stays_in_one_line(
    run: Run, server: list[str], recording: Path, monkeypatch: pytest.MonkeyPatch, grpc_triton: FakeTriton
) -> None:
    """Two columns for a character: more would wrap, and the line above would never be cleared."""
    grpc_triton.live_model = lambda *piece: {"PARTIAL": "六她们" * 10, "STABLE": 0, "FINALS": [], "DURATION": 1.0}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "21")
    assert run("stream", *server, recording).out == "\r\033[K们" + "六她们" * 3


def test_other_files_are_decoded_here(run: Run, server: list[str], tmp_path: Path, grpc_triton: Any) -> None:
    path = tmp_path / "speech.flac"
    soundfile.write(path, np.full(8000, 0.5), 8000)
    assert run("stream", *server, path).out == "one two\n"
    assert grpc_triton.seen[0].parameters["sample_rate"] == 8000
    assert set(np.frombuffer(b"".join(grpc_triton.live_pieces), np.int16)) == {16384}


def unfinished(wav: bytes) -> bytes:
    """As a recorder writes it that cannot go back to the header."""
    at = wav.index(b"data") + 4
    return wav[:at] + bytes(4) + wav[at + 4 :]


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (lambda: spoken("mp3 vbr without xing"), 5.4),  # libsndfile estimates 28.9 s
        (lambda: spoken("mp3 44.1 kHz vbr without xing"), 5.36),  # 1.9 s
        (lambda: 2 * spoken("mp3"), 10.68),
        (lambda: spoken("mp3")[: len(spoken("mp3")) * 55 // 100], 2.93),
        (lambda: spoken("aac")[: len(spoken("aac")) // 2], 2.7),
        (lambda: spoken("m4a"), 5.32),
        (lambda: spoken("wav gsm"), 5.32),
        (lambda: spoken("wav pcm24"), 5.31),
        (lambda: unfinished(spoken("wav pcm16")), 5.31),
    ],
)
def test_all_that_is_there_is_played_once(
    run: Run, server: list[str], tmp_path: Path, grpc_triton: FakeTriton, data: Callable[[], bytes], seconds: float
) -> None:
    path = tmp_path / "speech"
    path.write_bytes(data())
    ran = run("stream", *server, path)
    assert (ran.code, ran.err) == (0, "")
    samples = np.frombuffer(b"".join(grpc_triton.live_pieces), np.int16)
    rate = grpc_triton.seen[0].parameters["sample_rate"]
    assert len(samples) / rate == pytest.approx(seconds, abs=0.1)
    assert {len(piece) for piece in grpc_triton.live_pieces[:-1]} == {2 * int(0.1 * rate)}
    played = np.abs(samples) > 0.02 * 32768
    assert np.flatnonzero(played)[0] / rate == pytest.approx(0.25, abs=0.1)
    assert np.flatnonzero(played)[-1] / rate == pytest.approx(seconds - 0.5 if seconds > 5 else seconds, abs=0.15)


def test_what_reads_other_files_may_not_be_installed(
    run: Run, server: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "speech.mp3").write_bytes(spoken("mp3"))
    monkeypatch.setitem(sys.modules, "av", None)
    ran = run("stream", *server, tmp_path / "speech.mp3")
    assert ran.code == 1
    assert "install the package av, which decodes audio files" in " ".join(ran.err.split())


def test_raw_samples_come_by_a_pipe(
    run: Run, server: list[str], monkeypatch: pytest.MonkeyPatch, grpc_triton: FakeTriton
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(5000))))
    assert run("stream", *server, "-", "--sampling-rate", 8000).out == "one two\n"
    assert sum(map(len, grpc_triton.live_pieces)) == 5000


def test_real_time(run: Run, server: list[str], recording: Path) -> None:
    begin = time.monotonic()
    assert run("stream", *server, recording, "--realtime").code == 0
    assert time.monotonic() - begin >= 0.5


class Microphone:
    """The package sounddevice, with a microphone that hears 0.3 s; then somebody presses Ctrl-C."""

    class PortAudioError(Exception):
        """As the package's."""

    def __init__(self, presses: int = 1, error: str = "") -> None:
        self.presses, self.error = presses, error

    def RawInputStream(self, *, callback: Any, blocksize: int, **settings: object) -> Any:
        """What the package calls a stream; it hears as soon as it is opened."""
        assert settings == {"samplerate": 16_000, "channels": 1, "dtype": "int16"}
        if self.error:
            raise self.PortAudioError(self.error)

        @contextmanager
        def opened() -> Iterator[None]:
            for _ in range(3):
                callback(memoryview(bytes(2 * blocksize)), blocksize, None, None)
            for _ in range(self.presses):
                signal.raise_signal(signal.SIGINT)
            yield

        return opened()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as at a terminal: a shell's background processes, of which this may be one, do not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_the_microphone_is_heard_until_ctrl_c_and_to_the_end(
    run: Run, server: list[str], monkeypatch: pytest.MonkeyPatch, grpc_triton: FakeTriton
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone())
    ran = run("stream", *server, "--mic")
    assert (ran.code, ran.out) == (0, "one two\n")
    assert sum(map(len, grpc_triton.live_pieces)) == 2 * 4800
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_ends_it_at_once(
    run: Run, server: list[str], monkeypatch: pytest.MonkeyPatch, grpc_triton: FakeTriton
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(presses=2))
    assert "one two" not in run("stream", *server, "--mic").out
    assert not grpc_triton.live_pieces


def test_without_a_microphone_the_reason_is_told(run: Run, server: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone(error="Error querying device -1"))
    ran = run("stream", *server, "--mic")
    assert ran.code == 1
    assert "cannot listen: Error querying device -1; needs a microphone" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "needs a FILE, or --mic"),
        (["a.wav", "--mic"], 2, "needs a FILE, or --mic"),
        (["-"], 2, "raw samples on stdin"),
        (["a.wav", "--sampling-rate", "8000"], 2, "raw samples on stdin"),
        (["a.wav", "--silence-ms", "50"], 2, "--silence-ms"),
        (["no.wav"], 1, "cannot read no.wav"),
        ([__file__], 1, "cannot read"),
    ],
)
def test_wrong_usage(run: Run, server: list[str], arguments: list[str], code: int, message: str) -> None:
    ran = run("stream", *server, *arguments)
    assert ran.code == code
    assert message in " ".join(ran.err.split())
