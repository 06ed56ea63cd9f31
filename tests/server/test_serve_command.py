"""`triton-asr serve`, run with a fake tritonserver in this process and with signals in another one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import processes
import pytest
import typer
from asr_server import TritonServer
from asr_server.command import serve
from typer.testing import CliRunner

APP = "import typer, asr_server.command as c; app = typer.Typer(); app.command()(c.serve); app()"
PORTS = ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]


def run_here(*arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(serve)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_an_error_is_one_message_and_exit_status_1(tmp_path: Path) -> None:
    status, out, err = run_here(str(tmp_path / "none"))
    assert (status, out) == (1, "")
    assert err.startswith("triton-asr: error: the model repository ")


def test_a_server_that_dies_ends_the_command(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "dies")
    status, out, err = run_here(str(repository), f"--tritonserver={fake_tritonserver}", *PORTS)
    assert (status, out) == (1, "")
    assert "something broke" in err


def test_a_signal_ends_the_command_with_status_0(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TritonServer, "wait", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    status, out, _ = run_here(str(repository), f"--tritonserver={fake_tritonserver}", *PORTS)
    assert (status, out.split()[0]) == (0, "ready:")


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_here(str(tmp_path / "none"))
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_line_live_log_and_a_clean_stop(repository: Path, fake_tritonserver: Path, number: int) -> None:
    command = [sys.executable, "-c", APP, str(repository), f"--tritonserver={fake_tritonserver}", *PORTS]
    with subprocess.Popen(
        [*command, "--", "--rate-limit=off"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert '"--rate-limit=off"' in process.stderr.readline()  # comes while the server runs
        ready = process.stdout.readline()
        assert ready.startswith("ready: grpc 127.0.0.1:")
        assert ready.endswith("  (models: tiny)\n")
        process.send_signal(number)
        assert process.stdout.read() == ""
    assert process.returncode == 0


def test_a_second_signal_does_not_wait(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "stubborn")
    command = [sys.executable, "-c", APP, str(repository), f"--tritonserver={fake_tritonserver}", *PORTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.terminate()
        while process.stderr.readline() != "no\n":  # the server has refused to stop
            pass
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
    assert not processes.shared_memory(process.pid)
