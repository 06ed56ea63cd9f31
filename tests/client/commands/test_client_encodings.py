"""File names and texts that the terminal's encoding cannot hold, and files that are written whole or not at all."""

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from asr_client import Transcription, Word, formats
from asr_client.commands import output
from fake_inference import FakeTriton, Seen

NAMES = (b"caf\xe9.wav", "naïve 😀.wav".encode(), b"plain.wav")  # the first is no UTF-8
SAID = "grüß 六 😀"
ENCODINGS = ("utf-8", "latin-1", "ascii")


def spoken(seen: Seen) -> Transcription:
    return Transcription(SAID, 0.75, 2.0, tuple(Word(word, 0.0, 0.5, 0.5) for word in SAID.split()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(b"RIFF")
    return tmp_path


def run(
    folder: Path, triton: FakeTriton, encoding: str, *arguments: str | bytes, before: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, in a process of its own."""
    triton.model = spoken
    subcommand, *rest = arguments
    protocol = () if subcommand == "stream" else ("-i", triton.protocol)
    command = [*before, sys.executable, "-m", "triton_asr", subcommand, "-u", triton.url, *protocol, *rest]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def shown(text: str, encoding: str) -> str:
    """How a text appears in output of this encoding."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_texts_and_names_on_standard_output(grpc_triton: FakeTriton, folder: Path, encoding: str) -> None:
    code, out, err = run(folder, grpc_triton, encoding, "transcribe", *NAMES)
    lines = [f"{os.fsdecode(name)}\t{SAID}" for name in NAMES]
    assert (code, out.splitlines(), err) == (0, [shown(line, encoding) for line in lines], "")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_stays_json(grpc_triton: FakeTriton, folder: Path, encoding: str) -> None:
    code, out, err = run(folder, grpc_triton, encoding, "transcribe", "-f", "json", *NAMES)
    assert (code, err) == (0, "")
    said = [json.loads(line) for line in out.splitlines()]
    assert [(one["audio"], one["text"]) for one in said] == [(os.fsdecode(name), SAID) for name in NAMES]


@pytest.mark.parametrize("format", formats.FORMATS)
def test_every_format_is_written_for_every_name(grpc_triton: FakeTriton, folder: Path, format: formats.Format) -> None:
    code, out, err = run(folder, grpc_triton, "latin-1", "transcribe", "-f", format, "-o", "out", *NAMES)
    assert (code, out, err) == (0, "", "")
    expected = {name.removesuffix(b"wav") + format.encode() for name in NAMES}
    assert {os.fsencode(path.name) for path in (folder / "out").iterdir()} == expected
    assert all("六" in path.read_text(encoding="utf-8") for path in (folder / "out").iterdir())


def test_a_failure_names_the_file_and_stops_no_other(grpc_triton: FakeTriton, folder: Path) -> None:
    missing = b"fehlt \xe9 \xf0\x9f\x98\x80.wav"
    code, out, err = run(folder, grpc_triton, "ascii", "transcribe", missing, *NAMES)
    assert code == 1
    assert len(out.splitlines()) == len(NAMES)
    assert err == f"triton-asr: error: cannot read {shown(os.fsdecode(missing), 'ascii')}: No such file or directory\n"


def test_a_name_too_long_for_its_output_stops_no_other(grpc_triton: FakeTriton, folder: Path) -> None:
    long = "x" * 251 + ".wav"  # 255 bytes, the most that a name may have; .json makes 256 of them
    (folder / long).write_bytes(b"RIFF")
    code, out, err = run(folder, grpc_triton, "utf-8", "transcribe", "-f", "json", "-o", "out", long, "plain.wav")
    assert (code, out) == (1, "")
    assert [path.name for path in (folder / "out").iterdir()] == ["plain.json"]
    assert err.startswith(f"triton-asr: error: {long}: cannot write out/{'x' * 251}.json: File name too long")


def test_evaluate(grpc_triton: FakeTriton, folder: Path) -> None:
    entries = [{"audio": os.fsdecode(name), "text": "grüß dich"} for name in NAMES]
    (folder / "m.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    code, out, err = run(folder, grpc_triton, "latin-1", "evaluate", "m.jsonl", "--table", "--json", "r.json")
    assert (code, err) == (0, "")
    assert "caf\\udce9.wav" in out
    report = json.loads((folder / "r.json").read_text(encoding="utf-8"))
    assert [item["audio"] for item in report["items"]] == [os.fsdecode(name) for name in NAMES]


@pytest.mark.parametrize("format", ["txt", "json"])
def test_stream(grpc_triton: FakeTriton, folder: Path, format: str) -> None:
    final = {"text": SAID, "start": 0.0, "end": 0.5, "confidence": 0.75, "words": []}
    grpc_triton.live_model = lambda piece, number, is_last: {
        "PARTIAL": "" if is_last else SAID,
        "STABLE": 0,
        "FINALS": [final] if is_last else [],
        "DURATION": 1.0,
    }
    with wave.open(str(folder / "s.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    code, out, err = run(folder, grpc_triton, "ascii", "stream", "s.wav", "-f", format)
    assert (code, err) == (0, "")
    last = out.splitlines()[-1]
    assert (json.loads(last)["text"] == SAID) if format == "json" else (last == shown(SAID, "ascii"))


def test_a_disk_that_is_full_leaves_what_was_there(grpc_triton: FakeTriton, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/plain.txt").write_text("before")
    no_file_may_grow = ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")
    arguments = ("transcribe", "-o", "out", "plain.wav")
    code, out, err = run(folder, grpc_triton, "utf-8", *arguments, before=no_file_may_grow)
    assert (code, out) == (1, "")
    assert err == "triton-asr: error: plain.wav: cannot write out/plain.txt: File too large\n"
    assert [path.name for path in (folder / "out").iterdir()] == ["plain.txt"]
    assert (folder / "out/plain.txt").read_text() == "before"


def test_what_is_no_file_of_its_own_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    output.write_file(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "text"
    output.write_file(Path(os.devnull), "text")
    assert not Path(os.devnull).is_file()
