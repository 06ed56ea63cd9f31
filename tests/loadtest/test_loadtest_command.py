"""`triton-asr loadtest` as it is typed, against a fake of known delays in a process of its own."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import triton_asr.main as command
from fake_server import running
from known_delays import Behaviour


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The console command, without a higher priority of its process."""
    monkeypatch.setattr("asr_loadtest.steps.generator_process.prepare", lambda: None)

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["triton-asr", "loadtest", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            command.main()
        captured = capsys.readouterr()
        return Ran(int(exited.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of 1, 3 and 6 s."""
    for seconds in (1, 3, 6):
        soundfile.write(tmp_path / f"{seconds}.wav", np.full(16000 * seconds, seconds / 100), 16000)
    return tmp_path


@pytest.fixture
def fake_url() -> Iterator[str]:
    with running(Behaviour(delay_s=0.02, changes_every=10)) as url:
        yield url


SHORT = ("--duration", 1.5, "--ramp", 0.2, "--late-tolerance", 10_000)
STREAMS = ("--duration", 6, *SHORT[2:])  # recordings are spoken as fast as they last


def test_steps_end_in_a_table_and_three_files(run, folder, fake_url, tmp_path):
    ran = run(folder, "-u", fake_url, "--rates", 40, "--closed", 2, *SHORT, "-o", tmp_path / "report")
    assert ran.code == 0, ran.err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    loads = [(step["load"]["loop"], step["load"]["rate"]) for step in report["steps"]]
    assert loads == [("open", 40), ("closed", 40)]
    assert report["profile"]["classes"] == {"0-2 s": 1, "2-5 s": 1, "5-10 s": 1}
    first = report["steps"][0]
    assert (first["requests"], first["checked"], first["errors"]) == (60, 60, {})
    assert first["changed"] == pytest.approx(6, abs=1)
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"report.json", "report.csv", "report.html"}
    assert "40/s" in ran.out
    assert "40/s for 2 s: p50" in ran.err


def test_a_promise_that_is_broken_ends_in_1(run, folder, fake_url):
    ran = run(folder, "-u", fake_url, "--rates", 40, "--slo-p95-ms", 10, *SHORT)
    assert ran.code == 1
    assert "missed: p95" in ran.err


def test_changed_transcripts_can_be_what_is_promised(run, folder, fake_url):
    arguments = (folder, "-u", fake_url, "--rates", 40, *SHORT, "--slo-changed-rate")
    assert run(*arguments, 0.5).code == 0
    ran = run(*arguments, 0.01)
    assert ran.code == 1
    assert "changed transcripts" in ran.err


def test_a_void_step_ends_in_1_and_shows_no_figures(run, folder, fake_url):
    ran = run(folder, "-u", fake_url, "--rates", 4, "--slo-p95-ms", 1000, *SHORT)
    assert ran.code == 1
    assert "void: 6 requests are too few for p95" in ran.out


def test_a_search_finds_a_rate(run, folder, tmp_path):
    with running(Behaviour()) as url:
        ran = run(folder, "-u", url, "--slo-p95-ms", 5000, "--max-rate", 130, *SHORT, "-o", tmp_path / "report")
    assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "report" / "report.json").read_text())["capacity"]["rate"] == 130


def test_no_server_is_one_line(run, folder):
    ran = run(folder, "-u", "127.0.0.1:1", "--rates", 1)
    assert ran.code == 1
    assert ran.err.startswith("triton-asr: error: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no load is given"),
        (("--rates", "1,x"), "--rates is '1,x'"),
        (("--rates", "0"), "--rates is '0'"),
        (("--soak", 1), "--soak needs one rate: give --rate"),
        (("--soak", 1, "--rate", 1, "--rates", "1"), "and leave out --rates"),
        (("--soak", 1, "--rate", 0), "--rate is 0; needs a number above 0"),
        (("--slo-p95-ms", 9, "--max-rate", -1), "--max-rate is -1; needs a number above 0"),
        (("--rate", 1), "--rate is for --soak"),
        (("--slo-p95-ms", -1), "--slo-p95-ms is -1"),
        (("--rates", "1", "--slo-changed-rate", 0.1, "--no-check"), "--no-check does not: leave out one of them"),
        (("--streams", "2,x"), "--streams is '2,x'; needs whole numbers"),
        (("--streams", "0"), "--streams is '0'; needs whole numbers"),
        (("--streams", "1.5"), "--streams is '1.5'; needs whole numbers"),
        (("--streams", "2", "--protocol", "http"), "--streams needs --protocol grpc"),
        (("--streams", "2", "--protocol", "openai"), "--streams needs --protocol grpc"),
        (("--rates", "1", "--protocol", "openai", "-u", "localhost:8080"), "needs http://HOST:PORT"),
        (("--rates", "1", "--protocol", "openai", "--tls"), "needs https://"),
        (("--rates", "1", "--protocol", "openai", "--metrics-url", "localhost:8002"), "leave it out"),
        (("--rates", "1", "--protocol", "smoke"), "'smoke' is not one of"),
        (("--streams", "2", "--rates", "1", "--closed", 2), "leave out --rates and --closed"),
        (("--streams", "search"), "needs a promise to keep"),
        (("--streams", "search", "--soak", 1, "--slo-p95-ms", 9), "--soak needs a number of streams"),
        (("--streams", "2,4", "--soak", 1), "--soak needs one number"),
        (("--rates", "1", "-u", "one:8001", "-u", "other:8001"), "--url is given 2 times"),
    ],
)
def test_wrong_usage_ends_in_2(run, folder, arguments, words):
    ran = run(folder, *arguments)
    assert ran.code == 2
    assert words in " ".join(ran.err.replace("│", " ").split())


def test_live_streams_end_in_a_table_and_three_files(run, folder, fake_url, tmp_path):
    ran = run(folder, "-u", fake_url, "--streams", "1,3", *STREAMS)
    assert ran.code == 0, ran.err
    assert "3 recordings transcribed without load" in ran.err
    assert "3 streams for 6 s: p50" in ran.err
    assert "lag of partial results" in ran.out


def test_what_is_heard_of_live_streams_is_compared(run, folder, fake_url, tmp_path):
    report = tmp_path / "report"
    ran = run(
        folder, "-u", fake_url, "--streams", 2, "--duration", 6, "--ramp", 0.2, "--late-tolerance", 10_000, "-o", report
    )
    assert ran.code == 0, ran.err
    content = json.loads((report / "report.json").read_text())
    assert content["target"]["model"] == "asr_stream"
    (step,) = content["steps"]
    assert (step["load"]["loop"], step["load"]["rate"]) == ("streams", 2)
    assert step["checked"] > 0
    assert step["changed"] == 0
    assert step["streams"]["pieces"] == pytest.approx(2 * 60, abs=6)
    assert "late_pieces" in (report / "report.csv").read_text()
    assert "2 streams" in (report / "report.html").read_text()


def test_a_search_finds_a_number_of_live_streams(run, folder):
    with running(Behaviour(streams=5)) as url:
        ran = run(folder, "-u", url, "--streams", "search", "--slo-p95-ms", 5000, "--duration", 3, *SHORT[2:])
    assert ran.code == 0, ran.err
    assert "Capacity: 4 live streams" in ran.out  # five, less the reserve
    assert "6 live streams missed it" in ran.out
