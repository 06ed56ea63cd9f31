"""The resources of processes: of this very test and of children that it starts."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import steady_ports
from asr_loadtest.server_view import gpu_metrics
from asr_loadtest.server_view.processes import ServerProcesses
from asr_loadtest.server_view.resources import Resources

GPU_PAGE = """# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.75
nv_gpu_utilization{gpu_uuid="GPU-2"} 0.25
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 1000000000.000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 24000000.000000
nv_inference_count{model="acoustic",version="1"} 12
"""
LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(server.getsockname()[1], flush=True)
input()
"""


# Starts a child when it is told to, and ends it when it is told to.
PARENT = """
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
input()
code = "print(flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(flush=True)
input()
with child:
    child.kill()
print(flush=True)
input()
"""


@pytest.fixture
def address() -> Iterator[str]:
    """HOST:PORT at which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_the_process_that_listens_is_found(address: str) -> None:
    found = ServerProcesses.find(address)
    assert found is not None
    sample = found.sample(-1.5)
    assert sample.at_s == -1.5
    assert sample.memory_bytes is not None
    assert sample.memory_bytes > 10 * 2**20
    assert sample.file_descriptors is not None
    assert sample.file_descriptors >= 4


@pytest.mark.parametrize("url", ["192.0.2.1:8001", "asr.example:8001", "127.0.0.1", "127.0.0.1:http"])
def test_a_server_elsewhere_is_not_watched(url: str) -> None:
    assert ServerProcesses.find(url) is None


def test_a_port_without_a_listener_is_not_watched(address: str) -> None:
    assert ServerProcesses.find(f"127.0.0.1:{steady_ports.free()[0]}") is None


def test_processor_time_is_of_the_time_between_samples(address: str) -> None:
    found = ServerProcesses.find(address)
    assert found is not None
    assert found.sample(0.0).cpu_cores is None
    end_s = time.process_time() + 0.2  # of a processor, which others use as well
    while time.process_time() < end_s:
        pass
    cores = found.sample(0.3).cpu_cores
    assert cores is not None
    assert cores > 0.1


def test_children_count_and_may_come_and_go() -> None:
    # Of a process of its own: this one has other tests' servers for children, which open and close files.
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        found = ServerProcesses.find(f"127.0.0.1:{int(parent.stdout.readline())}")
        assert found is not None
        counts = [found.sample(0.0).file_descriptors]
        for at_s in (1.0, 2.0):
            print(file=parent.stdin, flush=True)
            parent.stdout.readline()
            counts.append(found.sample(at_s).file_descriptors)
        parent.kill()
    alone, together, after = counts
    assert alone is not None
    assert together is not None
    assert together > alone + 2
    assert after == alone


def test_a_file_in_shared_memory_counts_once_and_also_when_its_name_is_gone(address: str) -> None:
    found = ServerProcesses.find(address)
    assert found is not None
    before = found.sample(0.0).shared_memory_bytes
    path = Path(f"/dev/shm/triton-asr-test-{os.getpid()}")
    with path.open("wb") as file, path.open("rb"):
        path.unlink()
        file.write(bytes(2**20))
        file.flush()
        during = found.sample(1.0).shared_memory_bytes
    assert before is not None
    assert during == before + 2**20


@contextmanager
def listening(port: int) -> Iterator[int]:
    """Start a process that listens at the port (0: a free one) until the block ends; yield its port."""
    command = [sys.executable, "-c", LISTENER, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()


def test_a_server_that_is_gone_has_no_figures_and_one_that_is_back_is_found_again() -> None:
    with listening(0) as port:
        found = ServerProcesses.find(f"127.0.0.1:{port}")
    assert found is not None
    assert found.sample(0.0).memory_bytes is None
    with listening(port):
        assert found.sample(1.0).memory_bytes is not None


def test_gpus_are_read_from_the_page_of_metrics() -> None:
    assert gpu_metrics.parse(GPU_PAGE) == gpu_metrics.GpuUse(0.5, 1_024_000_000)
    assert gpu_metrics.parse("nv_inference_count 1\n") == gpu_metrics.GpuUse()


def test_what_cannot_be_watched_is_none_throughout() -> None:
    resources = Resources("192.0.2.1:8001", metrics_url="127.0.0.1:1")
    sample = resources.sample(3.0)
    assert not resources.local
    assert (sample.at_s, sample.memory_bytes, sample.gpu_utilization) == (3.0, None, None)
