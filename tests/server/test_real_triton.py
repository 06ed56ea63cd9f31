"""The pip-installed Triton with the stand-in ONNX Runtime backend."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny_models
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from asr_server import RepositoryError, TritonServer
from triton_counts import settled
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.e2e

ANY_PORTS = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}


def infer(server: TritonServer, model: str, name: str, array: Any) -> dict[str, Any]:
    tensor = grpcclient.InferInput(name, array.shape, "FP32")
    tensor.set_data_from_numpy(array)
    with grpcclient.InferenceServerClient(server.grpc_url) as client:
        result = client.infer(model, [tensor])
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def echo(server: TritonServer) -> list[float]:
    return list(infer(server, "echo", "x", np.array([[1.0, 2.0]], np.float32))["y"][0])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A ragged ONNX model and a Python model, in a folder whose name a shell would split."""
    repository = tmp_path_factory.mktemp("two models")
    tiny_models.add_ragged_sums(repository)
    tiny_models.add_echo(repository)
    with TritonServer(repository, **ANY_PORTS) as running:
        yield running


def test_all_models_are_ready(server: TritonServer) -> None:
    assert server.models == ("echo", "sums")


def test_a_python_model_returns_numbers(server: TritonServer) -> None:
    assert echo(server) == [1.0, 2.0]  # with numpy 2 this would be an empty array


def test_requests_of_different_lengths_share_batches_and_stay_apart(server: TritonServer) -> None:
    def sums_are_right(samples: int) -> bool:
        rows = 1 + samples % 3
        audio = np.arange(rows * samples, dtype=np.float32).reshape(rows, samples)
        outputs = infer(server, "sums", "audio", audio)
        return bool(np.allclose(outputs["sums"], audio.sum(1, keepdims=True))) and bool(
            (outputs["frames"] == samples).all()
        )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(sums_are_right, range(1, 101)))
    done = settled(server, "sums")
    assert done.inferences == sum(1 + samples % 3 for samples in range(1, 101))
    assert done.executions < 50


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::]"])
def test_an_ipv6_address(host: str, tmp_path: Path) -> None:
    """Triton's three services take it in two spellings, neither of them the usual one for HTTP."""
    tiny_models.add_echo(tmp_path)
    with TritonServer(tmp_path, host=host, **ANY_PORTS) as running:
        assert running.grpc_url.startswith("[::1]:")
        assert running.http_url.startswith("[::1]:")
        assert echo(running) == [1.0, 2.0]
        with httpclient.InferenceServerClient(running.http_url) as client:
            assert client.is_model_ready("echo")


def test_two_servers_at_once(server: TritonServer, tmp_path: Path) -> None:
    tiny_models.add_echo(tmp_path)
    shared_memory = processes.shared_memory()
    with TritonServer(tmp_path, **ANY_PORTS) as second:
        assert echo(second) == echo(server) == [1.0, 2.0]
        session = os.getsid(second.pid)
        assert len(processes.in_session(session)) == 3  # guard, tritonserver, the process of the model
        assert len(processes.shared_memory()) > len(shared_memory)
    assert processes.in_session(session) == []
    assert processes.shared_memory() == shared_memory
    assert echo(server) == [1.0, 2.0]


def test_models_that_do_not_load_say_why(tmp_path: Path) -> None:
    tiny_models.add_echo(tmp_path, "broken", code="raise RuntimeError('no weights here')")
    typo = tiny_models.RAGGED_CONFIG.replace("intra_op_thread_count", "intra_op_threads")
    tiny_models.add_ragged_sums(tmp_path, "typo", config=typo)
    wrong = tiny_models.RAGGED_CONFIG.replace("TYPE_INT32 dims: [ 1 ]", "TYPE_INT32 dims: [ 2 ]")
    tiny_models.add_ragged_sums(tmp_path, "wrong", config=wrong)
    (tiny_models.add_ragged_sums(tmp_path, "empty") / "1" / "model.onnx").unlink()
    with pytest.raises(RepositoryError) as caught:
        TritonServer(tmp_path, **ANY_PORTS, log=lambda line: None).start()
    message = str(caught.value)
    assert "broken: Internal: RuntimeError: no weights here\n" in message
    assert "unknown parameters ['intra_op_threads']" in message
    assert "output 'frames' has the shape [-1, 2] in the configuration" in message
    assert "1/model.onnx; `triton-asr export`" in message
    assert not any(str(tmp_path) in str(path) for path in processes.shared_memory())


def test_the_template_in_place_of_an_export_says_what_to_do() -> None:
    template = Path(__file__).parents[2] / "model_repository"
    with pytest.raises(RepositoryError, match="acoustic: .*; .* a graph: `triton-asr export` makes") as caught:
        TritonServer(template, **ANY_PORTS, log=lambda line: None).start()
    assert str(caught.value).count("labels.json") == 3  # of ctc_decode, asr_long and asr_stream


def test_a_model_without_its_file_fails_at_once(tmp_path: Path) -> None:
    (tiny_models.add_echo(tmp_path) / "1" / "model.py").unlink()  # Triton itself would wait for ever
    with pytest.raises(RepositoryError, match="echo: Python model file not found in"):
        TritonServer(tmp_path, **ANY_PORTS, log=lambda line: None, ready_timeout_s=60).start()


@pytest.mark.parametrize(
    ("victim", "number", "status"),
    [
        ("the command", signal.SIGTERM, 0),
        ("the command", signal.SIGKILL, -signal.SIGKILL),
        ("tritonserver", signal.SIGKILL, 1),
    ],
)
def test_the_command_leaves_nothing_behind(tmp_path: Path, victim: str, number: int, status: int) -> None:
    tiny_models.add_echo(tmp_path)
    ports = ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "triton_asr", "serve", str(tmp_path), *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = process.stdout.readline().split()
        assert (ready[0], ready[-1]) == ("ready:", "echo)")
        (guard,) = children(process.pid)
        (tritonserver,) = children(guard)
        assert len(processes.in_session(guard)) == 3
        os.kill(process.pid if victim == "the command" else tritonserver, number)
    assert process.returncode == status
    assert processes.eventually(lambda: processes.in_session(guard) == [])
    assert processes.shared_memory(process.pid) == []


@pytest.mark.parametrize(("victim", "number"), [("model", signal.SIGKILL), ("tritonserver", signal.SIGSEGV)])
def test_what_dies_is_started_anew(tmp_path: Path, victim: str, number: int) -> None:
    tiny_models.add_echo(tmp_path)
    log: list[str] = []
    with TritonServer(tmp_path, **ANY_PORTS, log=log.append) as server:
        first, session = server.pid, os.getsid(server.pid)
        stub = next(pid for pid in processes.in_session(session) if pid not in (first, session))
        os.kill(stub if victim == "model" else first, number)
        assert processes.eventually(lambda: server.pid != first)
        assert processes.eventually(lambda: answers_again(server))
        assert len(processes.in_session(session)) == 3
    assert any(re.search("model (echo )?has died" if victim == "model" else "has crashed", line) for line in log)
    assert processes.in_session(session) == []


def answers_again(server: TritonServer) -> bool:
    try:
        return echo(server) == [1.0, 2.0]
    except InferenceServerException:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
