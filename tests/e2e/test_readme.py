"""What the README tells a newcomer to type works, as it stands there."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

pytestmark = pytest.mark.e2e
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_URL = "127.0.0.1:8001"


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands() -> dict[str, list[str]]:
    """The commands of the shell blocks, one a terminal, by subcommand."""
    lines: list[list[str]] = []
    for block in blocks("bash"):
        activate, *rest = block.splitlines()
        assert activate == ". .venv/bin/activate"  # `make demo` has made it; the tests run in another one
        lines += [shlex.split(line, comments=True) for line in rest]
    return {words[1]: [str(Path(sys.executable).with_name(words[0])), *words[1:]] for words in lines}


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the checkout's `demo` folder, where `build` may be written."""
    place = tmp_path_factory.mktemp("readme")
    (place / "demo").symlink_to(ROOT / "demo")
    return place


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """Export and serve as the README does, but on free ports."""
    run(commands()["export"], folder)
    serve = [*commands()["serve"], "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    with subprocess.Popen(serve, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            (address,) = re.findall(r"grpc (\S+)", ready)
            yield address
        finally:
            process.terminate()
            assert process.wait(60) == 0


def test_transcribe(url: str, folder: Path) -> None:
    assert run([*commands()["transcribe"], "--url", url], folder).strip().lower().startswith("mister quilter")


def test_evaluate(url: str, folder: Path) -> None:
    output = run([*commands()["evaluate"], "--url", url], folder)
    (rate,) = re.findall(r"^(?:total )?WER\s+([\d.]+)\s?%", output, re.MULTILINE)
    assert float(rate) <= 10


def test_loadtest(url: str, folder: Path) -> None:
    """As it stands there, but for one short step, whose promise a busy machine keeps, too."""
    short = ["--rates", "5", "--duration", "6", "--ramp", "0.5", "--slo-p95-ms", "30000", "--late-tolerance", "5000"]
    output = run([*commands()["loadtest"], "--url", url, *short], folder)
    assert re.search(r"^\s*5\b", output, re.MULTILINE), output


def test_python(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.chdir(folder)
    code, _ = blocks("python")  # the other one is tested in tests/spark
    assert len(code.splitlines()) <= 10
    assert DEFAULT_URL in code
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code.replace(DEFAULT_URL, url), "README.md", "exec"), {})
    first, good, missing = output.getvalue().splitlines()
    assert re.search(r"MISTER QUILTER.*  \(\d+% SURE, MISTER AT \d\.\d\d S\)", first.upper())
    assert good.startswith("demo/samples/quilter.wav")
    assert "missing.wav" in missing


def test_the_two_commands_are_targets() -> None:
    for line in ("make demo", "make test"):
        assert f"    {line} " in README
        assert re.search(rf"^{line.removeprefix('make ')}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
