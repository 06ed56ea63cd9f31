"""`triton-asr serve --gateway` in a process of its own: both begin, and end in their order."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
from pathlib import Path

import processes
import pytest
from asr_gateway.keys import add
from serve_service import COMMAND, PORTS, TIMEOUT_S, ended, served


@pytest.fixture
def fake(repository: Path, fake_tritonserver: Path) -> list[object]:
    """The options that run a fake server, which has no models that could be asked for."""
    return [f"--tritonserver={fake_tritonserver}", "--gateway-model=tiny"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_for_both_and_a_clean_stop(repository: Path, fake: list[object], number: int) -> None:
    with served(repository, *fake) as both:
        assert both.ready[3] == "api"
        assert both.ready[4] == f"{both.page}v1"
        assert [both.ready[place] for place in (5, 7, 9)] == ["grpc", "http", "metrics"]
        assert both.status("health/live") == 200
        assert processes.listens(both.process.pid, both.page.rstrip("/"))
        family = processes.family(both.process.pid)  # the guard and tritonserver, too
        assert processes.listens(family[2].pid, both.ready[8])
        both.process.send_signal(number)
        assert ended(both.process)[0] == 0
        assert processes.living(family) == []


def test_the_gateway_ends_first_and_a_second_signal_does_not_wait(
    repository: Path, fake: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "stubborn")
    with served(repository, *fake) as both:
        assert both.process.stderr is not None
        both.process.terminate()
        while both.process.stderr.readline() != "no\n":  # the server has refused to stop
            pass
        with pytest.raises(urllib.error.URLError, match="refused"):
            both.status("health/live")
        both.process.terminate()
        assert ended(both.process)[0] == 0
    assert not processes.shared_memory(both.process.pid)


def test_a_server_that_dies_ends_the_gateway(repository: Path, fake: list[object]) -> None:
    with served(repository, *fake) as both:
        (guard,) = children(both.process.pid)
        (tritonserver,) = children(guard)
        os.kill(tritonserver, signal.SIGKILL)
        status, said = ended(both.process)
    assert status == 1
    assert "triton-asr: error: tritonserver ended with status" in said
    assert "Traceback" not in said


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_keys_are_those_of_the_gateway(repository: Path, fake: list[object], tmp_path: Path) -> None:
    add(tmp_path / "keys", "alice")
    with served(repository, *fake, "--gateway-keys", tmp_path / "keys") as both:
        assert both.status("v1/models") == 401
        assert both.status("health/live") == 200


def failed(repository: Path, *options: object) -> str:
    """The error of a command that starts nothing."""
    command = [*COMMAND, str(repository), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode in (1, 2), done.stderr
    assert done.stdout == ""
    assert "arguments" not in done.stderr  # what the fake server says first
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_a_port_that_is_taken_ends_the_command_before_the_server_starts(repository: Path, fake: list[object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = failed(repository, *PORTS, *fake, f"--gateway-port={port}")
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "choose another --gateway-host or --gateway-port" in said


def test_keys_that_are_not_there_end_the_command(repository: Path, fake: list[object]) -> None:
    assert "cannot read the keys in nowhere" in failed(repository, *PORTS, *fake, "--gateway-keys=nowhere")


def test_options_of_a_gateway_need_one(repository: Path, fake: list[object]) -> None:
    assert "give --gateway, too" in failed(repository, "--gateway-port=8081")


def test_everybody_may_call_a_gateway_without_keys_and_it_says_so(repository: Path, fake: list[object]) -> None:
    with served(repository, *fake, "--gateway-host=0.0.0.0") as both:
        both.process.terminate()
        _, said = ended(both.process)
    assert "warning: 0.0.0.0 lets other machines connect, and everybody may call: give --gateway-keys FILE" in said


def test_a_gateway_that_is_not_installed_is_one_line(repository: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = None; sys.argv = ['triton-asr', 'serve', sys.argv[1], '--gateway'];"
        "from triton_asr.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(repository)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "needs the package starlette" in done.stderr
    assert 'pip install "triton-asr-kit[gateway,server]"' in done.stderr
