"""TritonServer around a fake tritonserver: options, readiness, failures, and leaving nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import asr_server
import processes
import pytest
from asr_server import (
    OptionError,
    PortInUseError,
    RepositoryError,
    ServerDiedError,
    StartTimeoutError,
    TritonServer,
    TritonServerError,
)
from asr_server import server as server_module

ANY_PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}


class Log(list[str]):
    """Collects the lines of a log."""

    @property
    def arguments(self) -> list[str]:
        return list(json.loads(next(line for line in self if line.startswith("arguments ")).split(" ", 1)[1]))


def start(repository: Path, program: Path, log: Log | None = None, **options: object) -> TritonServer:
    hook = (lambda line: None) if log is None else log.append
    return TritonServer(repository, tritonserver=program, log=hook, **{**ANY_PORTS, **options})  # type: ignore[arg-type]


def test_exported_members() -> None:
    assert asr_server.__all__ == sorted(name for name in asr_server.__all__ if hasattr(asr_server, name))


def test_the_server_is_ready_inside_the_block_and_gone_after_it(repository: Path, fake_tritonserver: Path) -> None:
    with start(repository, fake_tritonserver) as server:
        assert server.models == ("tiny",)
        session = os.getsid(server.pid)
        assert server.pid in processes.in_session(session)
        assert processes.listens(server.pid, server.http_url)
        host, port = server.grpc_url.split(":")
        assert (host, int(port) > 0) == ("127.0.0.1", True)
    assert processes.in_session(session) == []
    assert not processes.listens(os.getpid(), server.http_url)


def test_options_reach_tritonserver(repository: Path, fake_tritonserver: Path) -> None:
    log = Log()
    extra = ["--rate-limit=off", "--log-format=ISO8601"]
    with start(repository, fake_tritonserver, log, extra_args=extra, verbose=True, drain_timeout_s=7) as server:
        pass
    expected = {f"--model-repository={repository}", "--exit-timeout-secs=7", "--log-verbose=1", *extra}
    expected |= {f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")}
    expected |= {f"--grpc-port={server.grpc_url.split(':')[1]}"}
    assert expected <= set(log.arguments)


@pytest.mark.parametrize(("given", "expected"), [(None, "2"), ("8", "8")])
def test_two_heaps_unless_the_environment_says_otherwise(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if given:
        monkeypatch.setenv("MALLOC_ARENA_MAX", given)
    log = Log()
    with start(repository, fake_tritonserver, log):
        pass
    assert f"heaps {expected}" in log


def test_a_given_tritonserver_keeps_its_own_backends_and_libraries(repository: Path, fake_tritonserver: Path) -> None:
    log = Log()
    with start(repository, fake_tritonserver, log):
        pass
    assert not any(argument.startswith("--backend-directory") for argument in log.arguments)


def test_a_path_that_a_shell_would_split_is_replaced_by_a_link(tmp_path: Path, fake_tritonserver: Path) -> None:
    (tmp_path / "my models; échos" / "tiny").mkdir(parents=True)
    log = Log()
    with start(tmp_path / "my models; échos", fake_tritonserver, log):
        link = Path(next(a.split("=", 1)[1] for a in log.arguments if a.startswith("--model-repository")))
        assert link.name == "repository"
        assert [entry.name for entry in link.iterdir()] == ["tiny"]
    assert not link.parent.exists()


def test_a_server_can_be_started_again_but_not_twice(repository: Path, fake_tritonserver: Path) -> None:
    server = start(repository, fake_tritonserver)
    with server, pytest.raises(TritonServerError, match="already started"):
        server.start()
    server.stop()  # once more does no harm
    with server:
        pass


def test_a_server_that_dies_before_it_is_ready(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "dies")
    with pytest.raises(ServerDiedError, match=r"(?s)status 1 before it was ready:.*something broke"):
        start(repository, fake_tritonserver).start()


@pytest.mark.parametrize("mode", ["dies when ready", "garbles its index"])
def test_a_server_that_dies_as_its_models_are_listed(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("FAKE_TRITON", mode)
    with pytest.raises(ServerDiedError, match="was ready, then stopped answering"):
        start(repository, fake_tritonserver).start()


def test_a_server_that_dies_later(repository: Path, fake_tritonserver: Path) -> None:
    with start(repository, fake_tritonserver) as server:
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServerDiedError, match="ended with status 137"):
            server.wait()


def test_a_server_that_is_never_ready(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "never ready")
    with pytest.raises(StartTimeoutError, match=r"not ready after 0.3 s"):
        start(repository, fake_tritonserver, ready_timeout_s=0.3).start()


def test_free_ports_are_chosen_anew_when_another_process_was_faster(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "port taken")
    starts: list[object] = []
    spawn = TritonServer._spawn

    def count_and_spawn(self: TritonServer, *args: object) -> None:
        starts.append(args)
        spawn(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(TritonServer, "_spawn", count_and_spawn)
    with pytest.raises(PortInUseError, match="already in use"):
        start(repository, fake_tritonserver).start()
    assert len(starts) == 5


def test_a_server_that_ignores_sigterm_is_killed_with_all_it_made(
    repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRITON", "stubborn")
    monkeypatch.setattr(server_module, "_UNLOAD_TIMEOUT_S", 0.1)
    log = Log()
    before = processes.shared_memory()  # of a server that other tests share
    with start(repository, fake_tritonserver, log, drain_timeout_s=0.1):
        assert processes.eventually(lambda: any(line.startswith("child ") for line in log))
        child = int(next(line.split()[1] for line in log if line.startswith("child ")))
        assert processes.is_alive(child)
        assert len(processes.shared_memory()) > len(before)
    assert not processes.is_alive(child)
    assert processes.shared_memory() == before


def test_kill_waits_for_nothing(repository: Path, fake_tritonserver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TRITON", "stubborn")
    with start(repository, fake_tritonserver) as server:
        server.kill()
        with pytest.raises(ServerDiedError, match="status 137"):
            server.wait()


def test_nothing_outlives_a_starter_that_is_killed(repository: Path, fake_tritonserver: Path) -> None:
    code = (
        "import sys, time, asr_server\n"
        "server = asr_server.TritonServer(sys.argv[1], tritonserver=sys.argv[2], drain_timeout_s=1,\n"
        "                                 http_port=0, grpc_port=0, metrics_port=0)\n"
        "server.start(); print(server.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(repository), str(fake_tritonserver)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        assert starter.stdout is not None
        session = os.getsid(int(starter.stdout.readline()))
        starter.kill()
    assert processes.eventually(lambda: processes.in_session(session) == [])


def test_the_server_outlives_the_thread_that_started_it(repository: Path, fake_tritonserver: Path) -> None:
    server = start(repository, fake_tritonserver)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.5)
    assert processes.is_alive(server.pid)
    server.stop()


def test_a_taken_port_is_named_with_its_flag(repository: Path, fake_tritonserver: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUseError, match=rf"port {port} on 127.0.0.1 is already in use.*--grpc-port"):
            start(repository, fake_tritonserver, grpc_port=port).start()


def test_a_missing_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"does not exist; `triton-asr export` makes one"):
        TritonServer(tmp_path / "none").start()


def test_a_repository_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RepositoryError, match="is a file"):
        TritonServer(tmp_path / "file").start()


def test_a_repository_without_models(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="there are no models"):
        TritonServer(tmp_path).start()


def test_a_model_in_place_of_its_repository(repository: Path) -> None:
    (repository / "tiny" / "config.pbtxt").touch()
    with pytest.raises(RepositoryError, match=rf"single model; give the folder that holds it: {repository}"):
        TritonServer(repository / "tiny").start()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--http-port=1",
            r"give `triton-asr serve` --http-port, before the --; in Python: TritonServer\(http_port=…\)",
        ),
        ("--grpc-address", r"`triton-asr serve` --host, .*TritonServer\(host=…\)"),
        ("--grpc-address 0.0.0.0", "`triton-asr serve` --host"),
        ("--model-repository=x", "`triton-asr serve` DIR"),
        ("--exit-timeout=3", r"tritonserver; set TritonServer\(drain_timeout_s=…\)"),
        ("--allow-http=false", "are always on"),
        ("--allow-http 0", "are always on"),
        ("--allow-grpc=off", "are always on"),
        ("--allow-metrics=0", "are always on"),
        ("--allow-metrics false", "are always on"),
        ("--allow-met=FALSE", "are always on"),
    ],
)
def test_options_that_this_package_sets_cannot_be_passed_on(repository: Path, argument: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        server_module.check_options(["--rate-limit=off", *argument.split()])
    with pytest.raises(OptionError, match=message):
        TritonServer(repository, extra_args=argument.split()).start()


def test_other_options_can_be_passed_on() -> None:
    server_module.check_options(["--allow-gpu-metrics=false", "--metrics-interval-ms", "100", "-", "--", ""])


def test_waiting_for_a_server_that_is_not_started(repository: Path) -> None:
    with pytest.raises(TritonServerError, match="not started"):
        TritonServer(repository).wait()
