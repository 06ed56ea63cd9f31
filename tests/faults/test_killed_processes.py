"""A process dies, a server ends or starts again, while requests are under way: every one of them is answered.

`benchmarks/faults.py` does the same with each kind of process, with more items, and says how long it takes.
"""

import time
from pathlib import Path

import pytest
from asr_client import Client
from asr_server import TritonServer
from faults import ANSWERED_FIRST, CONCURRENCY, disturbed, kill_stub, restart, serving
from tritonclient.grpc import InferenceServerClient

pytestmark = pytest.mark.e2e
TIMEOUT_S = 150  # of an item: what a busy machine may take


def test_a_killed_model_process_costs_no_item(server: TritonServer, files: list[bytes], texts: list[str]) -> None:
    before, items = server.pid, CONCURRENCY + ANSWERED_FIRST
    with Client(server.grpc_url, timeout_s=TIMEOUT_S) as client:
        run = disturbed(client, files, texts, items, lambda: kill_stub(server, "acoustic"), "kill -9")

        assert (run.wrong, run.errors) == (0, {})
        assert [client.transcribe(file).text for file in files] == texts
    assert server.pid != before


def test_a_restart_costs_no_item(repository: Path, files: list[bytes], texts: list[str]) -> None:
    with serving(repository) as server, Client(server.grpc_url, timeout_s=TIMEOUT_S) as client:
        run = disturbed(client, files, texts, 60, lambda: restart(server), "restart", concurrency=40)

        assert (run.wrong, run.errors) == (0, {})
        assert client.transcribe(files[0]).text == texts[0]


def test_one_of_two_servers_ends(server: TritonServer, repository: Path, files: list[bytes], texts: list[str]) -> None:
    with serving(repository) as other, Client([server.grpc_url, other.grpc_url], timeout_s=TIMEOUT_S) as client:
        run = disturbed(client, files, texts, 60, other.stop, "end of one of two servers", concurrency=40)

        assert (run.wrong, run.errors) == (0, {})
        other.start()  # it counts from zero
        deadline = time.monotonic() + TIMEOUT_S
        while not heard(other):
            assert time.monotonic() < deadline
            assert client.transcribe(files[0]).text == texts[0]


def heard(server: TritonServer) -> int:
    """How many recordings a server has transcribed since it started."""
    with InferenceServerClient(server.grpc_url) as triton:
        return int(triton.get_inference_statistics("ctc_decode").model_stats[0].inference_count)
