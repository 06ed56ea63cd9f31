"""`triton-asr stream`: files, raw samples and how results are shown."""

import io
import json
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command_line import Run
from triton_double import TritonDouble

from tests.client.test_client_stream import FINAL, RATE, two_words


@pytest.fixture
def server(grpc_triton: TritonDouble) -> list[str]:
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


def test_final_segments_are_lines(run: Run, server: list[str], recording: Path, grpc_triton: TritonDouble) -> None:
    ran = run("stream", *server, recording, "--hotwords", "acme")
    assert (ran.code, ran.out, ran.err) == (0, "one two\n", "")
    expected = {"encoding": "pcm_s16le", "sample_rate": RATE, "channels": 2, "hotwords": "acme"}
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


def test_other_files_are_read_by_soundfile(run: Run, server: list[str], tmp_path: Path, grpc_triton: Any) -> None:
    path = tmp_path / "speech.flac"
    soundfile.write(path, np.full(8000, 0.5), 8000)
    assert run("stream", *server, path).out == "one two\n"
    assert grpc_triton.seen[0].parameters["sample_rate"] == 8000
    assert set(np.frombuffer(b"".join(grpc_triton.live_pieces), np.int16)) == {16384}


def test_raw_samples_come_by_a_pipe(
    run: Run, server: list[str], monkeypatch: pytest.MonkeyPatch, grpc_triton: TritonDouble
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(5000))))
    assert run("stream", *server, "-", "--sampling-rate", 8000).out == "one two\n"
    assert sum(map(len, grpc_triton.live_pieces)) == 5000


def test_real_time(run: Run, server: list[str], recording: Path) -> None:
    begin = time.monotonic()
    assert run("stream", *server, recording, "--realtime").code == 0
    assert time.monotonic() - begin >= 0.5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "needs a FILE, or --mic"),
        (["a.wav", "--mic"], 2, "needs a FILE, or --mic"),
        (["-"], 2, "raw samples on stdin"),
        (["a.wav", "--sampling-rate", "8000"], 2, "raw samples on stdin"),
        (["no.wav"], 1, "cannot read no.wav"),
        ([__file__], 1, "cannot read"),
    ],
)
def test_wrong_usage(run: Run, server: list[str], arguments: list[str], code: int, message: str) -> None:
    ran = run("stream", *server, *arguments)
    assert ran.code == code
    assert message in " ".join(ran.err.split())
