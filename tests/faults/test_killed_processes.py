"""A process dies, a server ends or starts again, while requests are under way: every one of them is answered.

`benchmarks/faults.py` does the same with each kind of process, with more items, and says how long it takes.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from asr_client import Client, DeadlineExceeded, RetryPolicy, ServerUnavailable
from asr_server import TritonServer
from faults import ANSWERED_FIRST, CONCURRENCY, disturbed, kill_stub, restart
from spark_service import serving
from triton_counts import counted

pytestmark = pytest.mark.e2e
TIMEOUT_S = 150  # of an item: what a busy machine may take
PUBLIC = "no server is available at the moment"


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
        while not counted(other, "ctc_decode").inferences:
            assert time.monotonic() < deadline
            assert client.transcribe(files[0]).text == texts[0]


def test_a_killed_server_is_waited_for_no_longer_than_said(
    repository: Path, files: list[bytes], texts: list[str]
) -> None:
    brief = RetryPolicy(max_wait_s=0.5)
    with serving(repository) as server, Client(server.grpc_url, timeout_s=TIMEOUT_S, retry=brief) as client:
        assert client.transcribe(files[0]).text == texts[0]
        begin = time.monotonic()
        os.kill(server.pid, signal.SIGKILL)

        outcomes = client.transcribe_many(files, concurrency=len(files))
        assert time.monotonic() - begin < TIMEOUT_S / 3
        assert all(isinstance(outcome.error, ServerUnavailable) for outcome in outcomes), outcomes
        assert {outcome.error.public for outcome in outcomes if outcome.error} == {PUBLIC}

        restart(server)
        deadline = time.monotonic() + TIMEOUT_S
        while not client.model_ready():  # gRPC may not have tried again yet
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.transcribe(files[0]).text == texts[0]


def test_a_server_that_hangs_is_waited_for_no_longer_than_said(
    repository: Path, files: list[bytes], texts: list[str]
) -> None:
    brief = RetryPolicy(max_wait_s=1)
    with serving(repository) as server, Client(server.grpc_url, timeout_s=TIMEOUT_S, retry=brief) as client:
        assert client.transcribe(files[0]).text == texts[0]
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(DeadlineExceeded):  # it could be at work
                client.transcribe(files[0], timeout_s=1)
            begin = time.monotonic()
            with pytest.raises(ServerUnavailable):
                client.transcribe(files[0])
            with pytest.raises(ServerUnavailable):
                list(client.stream([bytes(3200)], sampling_rate=16_000))
            assert time.monotonic() - begin < TIMEOUT_S / 3
        finally:
            os.kill(server.pid, signal.SIGCONT)
        with Client(server.grpc_url, timeout_s=TIMEOUT_S) as patient:
            assert patient.transcribe(files[0]).text == texts[0]


def test_work_that_takes_longer_than_the_longest_wait(server: TritonServer) -> None:
    brief = RetryPolicy(max_wait_s=0.2)
    minutes = np.zeros(3 * 60 * 16_000, np.int16)
    begin = time.monotonic()
    with Client(server.grpc_url, timeout_s=TIMEOUT_S, retry=brief) as client:
        assert client.transcribe(minutes, sampling_rate=16_000).duration == pytest.approx(180)
    assert time.monotonic() - begin > 0.2
