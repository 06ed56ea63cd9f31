"""`triton-asr loadtest --protocol openai` against a real gateway, before a fake of known delays."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gateway_service
import numpy as np
import pytest
import soundfile
from asr_gateway.keys import add
from fake_server import running
from known_delays import Behaviour

SHORT = ("--duration", 2, "--ramp", 0.2, "--late-tolerance", 10_000)


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def loadtest(*arguments: object, **environment: str) -> Ran:
    command = [sys.executable, "-m", "triton_asr", "loadtest", "--protocol", "openai", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of 1, 3 and 6 s; the last one is more than a MiB."""
    made = tmp_path_factory.mktemp("audio")
    for seconds, rate in ((1, 16_000), (3, 16_000), (6, 96_000)):
        soundfile.write(made / f"{seconds}.wav", np.full(rate * seconds, seconds / 100), rate)
    return made


@pytest.fixture(scope="module")
def fake_url() -> Iterator[str]:
    with running(Behaviour(delay_s=0.02, changes_every=10)) as url:
        yield url


def report_of(folder: Path) -> Any:
    return json.loads((folder / "report.json").read_text())


def test_steps_are_those_of_the_other_protocols(folder: Path, fake_url: str, tmp_path: Path) -> None:
    with gateway_service.running(fake_url) as gateway:
        ran = loadtest(folder, "-u", gateway.url, "--rates", 20, "--closed", 2, *SHORT, "-o", tmp_path)
    assert ran.code == 0, ran.err
    report = report_of(tmp_path)
    target = report["target"]
    assert (target["url"], target["protocol"], target["model"]) == (gateway.api, "openai", "asr")
    assert (target["server"], target["members"], target["local"]) == ("triton-asr-kit", [], True)
    opened, closed = report["steps"]
    assert (opened["load"]["loop"], closed["load"]["loop"]) == ("open", "closed")
    assert (opened["requests"], opened["checked"], opened["errors"]) == (40, 40, {})
    assert opened["latency"]["p50_ms"] >= 20
    assert 1 <= opened["changed"] <= 8
    # The process that is watched is the gateway's.
    assert all(sample["memory_bytes"] > 10 * 2**20 for sample in opened["resources"])
    assert "by OpenAI's protocol (triton-asr-kit)" in ran.out


def test_refusals_of_a_gateway_are_counted_as_such(folder: Path, fake_url: str, tmp_path: Path) -> None:
    with gateway_service.running(fake_url, "--max-requests", 1) as gateway:
        ran = loadtest(folder, "-u", gateway.api, "--closed", 4, *SHORT, "-o", tmp_path)
    assert ran.code == 0, ran.err
    (step,) = report_of(tmp_path)["steps"]
    assert set(step["errors"]) == {"QueueFull"}
    assert "429 too_many_requests" in step["error_example"]
    assert step["rejected_latency"]["count"] == step["errors"]["QueueFull"]
    assert step["latency"]["count"] > 0


def test_a_key_comes_from_the_environment_and_stays_out_of_the_report(
    folder: Path, fake_url: str, tmp_path: Path
) -> None:
    key = add(tmp_path / "keys", "alice")
    with gateway_service.running(fake_url, "--keys", tmp_path / "keys") as gateway:
        refused = loadtest(folder, "-u", gateway.url, "--rates", 5, *SHORT)
        ran = loadtest(folder, "-u", gateway.url, "--rates", 5, *SHORT, "-o", tmp_path, OPENAI_API_KEY=key)
    assert refused.code == 1
    assert "401 missing_api_key" in refused.err
    assert refused.err.count("\n") == 1
    assert ran.code == 0, ran.err
    assert key not in (tmp_path / "report.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-u", "http://127.0.0.1:1"), "cannot talk to 127.0.0.1:1"),
        (("-u", "FAKE"), "127.0.0.1:"),  # a server that speaks another protocol
    ],
)
def test_no_gateway_is_one_line(folder: Path, fake_url: str, arguments: tuple[str, str], words: str) -> None:
    given = [argument.replace("FAKE", f"http://{fake_url}") for argument in arguments]
    ran = loadtest(folder, *given, "--rates", 1)
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran.err
    assert ran.err.startswith("triton-asr: error: ")
    assert words in ran.err


def test_a_model_that_is_not_there(folder: Path, fake_url: str) -> None:
    with gateway_service.running(fake_url) as gateway:
        ran = loadtest(folder, "-u", gateway.url, "-m", "nobody", "--rates", 1)
    assert ran.code == 1
    assert "404 model_not_found" in ran.err
    assert "there is asr" in ran.err
