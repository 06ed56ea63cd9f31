"""`triton-asr serve`, run with a fake tritonserver in this process and with signals in another one."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import processes
import pytest
from asr_server import RepositoryError, TritonServer
from triton_asr import main as command

COMMAND = [sys.executable, "-m", "triton_asr", "serve"]
PORTS = ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The console command; gives its exit status, standard output and standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["triton-asr", "serve", *arguments])
        with pytest.raises(SystemExit) as exited:
            command.main()
        return int(exited.value.code or 0), *capsys.readouterr()

    return call


def test_an_error_is_one_message_and_exit_status_1(run_here: Run, tmp_path: Path) -> None:
    status, out, err = run_here(str(tmp_path / "none"))
    assert (status, out) == (1, "")
    assert err.startswith("triton-asr: error: the model repository ")
    assert err.count("\n") == 1


def warnings_of(run_here: Run, repository: Path, host: str, *arguments: str) -> list[str]:
    # The port given twice ends the command before anything starts.
    _, _, err = run_here(str(repository), f"--host={host}", "--http-port=9", "--grpc-port=9", *arguments)
    return [line for line in err.splitlines() if "warning" in line]


def test_the_pip_installed_triton_warns_when_others_can_reach_it(
    run_here: Run, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    (line,) = warnings_of(run_here, repository, "0.0.0.0")
    assert line.startswith("triton-asr: warning: 0.0.0.0 lets other machines connect")
    assert "24.10" in line
    assert "--tritonserver" in line
    assert warnings_of(run_here, repository, "localhost") == []


def test_a_full_server_does_not_warn(run_here: Run, repository: Path, fake_tritonserver: Path) -> None:
    assert warnings_of(run_here, repository, "0.0.0.0", f"--tritonserver={fake_tritonserver}") == []


def test_a_server_that_dies_ends_the_command(
    run_here: Run, repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "dies")
    status, out, err = run_here(str(repository), f"--tritonserver={fake_tritonserver}", *PORTS)
    assert (status, out) == (1, "")
    assert "something broke" in err


def test_a_signal_ends_the_command_with_status_0(
    run_here: Run, repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TritonServer, "wait", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    status, out, _ = run_here(str(repository), f"--tritonserver={fake_tritonserver}", *PORTS)
    assert (status, out.split()[0]) == (0, "ready:")


def test_signal_handlers_are_put_back(run_here: Run, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_here(str(tmp_path / "none"))
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ready_line_live_log_and_a_clean_stop(repository: Path, fake_tritonserver: Path, number: int) -> None:
    command = [*COMMAND, str(repository), f"--tritonserver={fake_tritonserver}", *PORTS]
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
    command = [*COMMAND, str(repository), f"--tritonserver={fake_tritonserver}", *PORTS]
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


def test_an_error_keeps_its_traceback_when_that_is_asked_for(
    run_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(command.DEBUG_VARIABLE, "1")
    with pytest.raises(RepositoryError):
        run_here(str(tmp_path / "none"))
