"""The Python in the documentation of the client runs, as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest
from asr_client import Transcription
from fake_inference import HELLO, FakeTriton

DOCS = Path(__file__).parents[2] / "docs"
DEFAULT_URL = "127.0.0.1:8001"


def run(page: str, triton: FakeTriton, block: int = 0, **names: Any) -> dict[str, Any]:
    """Run one of the page's blocks of Python, by default the first, and return its names."""
    text = (DOCS / page).read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[block]
    assert DEFAULT_URL in code
    exec(compile(code.replace(DEFAULT_URL, triton.url), page, "exec"), names)
    return names


@pytest.mark.parametrize(("page", "blocks"), [("client.md", 5), ("decoding.md", 1), ("streaming.md", 2)])
def test_every_block_is_run(page: str, blocks: int) -> None:
    assert (DOCS / page).read_text(encoding="utf-8").count("```python") == blocks


def test_client(
    grpc_triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("call.wav").write_bytes(b"RIFF")
    run("client.md", grpc_triton)
    assert capsys.readouterr().out.splitlines() == [
        HELLO.text,
        f"item 0 {HELLO.text}",
        f"item 1 {HELLO.text}",
        HELLO.text,
    ]
    first, *arrays, last = [seen.parameters for seen in grpc_triton.seen]
    assert {"hotwords": "acme,Quilter^5", "decoder": "beam"}.items() <= first.items()
    assert all({"sample_rate": 16_000, "word_timestamps": True}.items() <= array.items() for array in arrays)
    assert {"hotwords": "acme", "hotword_weight": 6.0, "beam_width": 32}.items() <= last.items()


def test_options_of_whisper(
    grpc_triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("call.wav").write_bytes(b"RIFF")
    run("client.md", grpc_triton, block=1)
    assert capsys.readouterr().out.splitlines() == ["0.25 0.50 hello", "0.62 1.25 world", HELLO.text]
    segments, translation = [seen.parameters for seen in grpc_triton.seen]
    shared = {"temperature_fallback": True, "max_new_tokens": 200}
    assert {**shared, "language": "german", "timestamps": True}.items() <= segments.items()
    assert {**shared, "language": "auto", "task": "translate"}.items() <= translation.items()


def test_separate_channels(
    grpc_triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("call.wav").write_bytes(b"RIFF")
    grpc_triton.model = lambda seen: HELLO if seen.parameters["channel"] == 0 else Transcription("", 0.0, 1.0)
    run("client.md", grpc_triton, block=2)
    assert capsys.readouterr().out == f"0.25 0: {HELLO.text}\n"


def test_several_servers(grpc_triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("call.wav", "talk.wav"):
        Path(name).write_bytes(b"RIFF")
    outcomes = run("client.md", grpc_triton, block=3)["outcomes"]  # nobody listens at the other address
    assert [outcome.unwrap().text for outcome in outcomes] == [HELLO.text] * 2


def test_several_models(
    grpc_triton: FakeTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("call.wav").write_bytes(b"RIFF")
    run("client.md", grpc_triton, block=4)
    assert capsys.readouterr().out == f"asr {HELLO.text}\n"


def test_decoding(grpc_triton: FakeTriton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    run("decoding.md", grpc_triton)
    assert grpc_triton.seen[0].parameters["hotwords"] == "singer"


def test_streaming(grpc_triton: FakeTriton, capsys: pytest.CaptureFixture[str]) -> None:
    final = {"text": "hello", "start": 0.0, "end": 0.5, "confidence": 0.75, "words": []}
    grpc_triton.live_model = lambda piece, number, is_last: {
        "PARTIAL": "" if is_last else "hell",
        "STABLE": 0,
        "FINALS": [final] if is_last else [],
        "DURATION": 1.0,
    }
    run("streaming.md", grpc_triton, chunks=[bytes(3200)])
    assert capsys.readouterr().out == "hell\rhello\n"


def test_flush(grpc_triton: FakeTriton, capsys: pytest.CaptureFixture[str]) -> None:
    final = {"text": "hello", "start": 0.0, "end": 0.5, "confidence": 0.75, "words": []}
    grpc_triton.live_model = lambda piece, number, is_last: {
        "PARTIAL": "",
        "STABLE": 0,
        "FINALS": [final] if "flush" in grpc_triton.seen[-1].parameters else [],
        "DURATION": 1.0,
    }
    run("streaming.md", grpc_triton, block=1, question=[bytes(3200)], answer=[])
    assert capsys.readouterr().out == "hello\n"
