"""The server is told to stop while it works: what it has taken it finishes, what comes later it refuses."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from asr_client import Client, RetryPolicy, ServerUnavailable
from asr_server import TritonServer
from triton_counts import counted

pytestmark = pytest.mark.e2e
REQUESTS = 16  # what the queue of the acoustic model holds, if not one of them is under way yet
ONCE = RetryPolicy(max_attempts=1)


def test_requests_under_way_finish_and_new_ones_are_refused(
    repository: Path, files: list[bytes], texts: list[str]
) -> None:
    server = TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0, log=lambda line: None)
    with server, Client(server.grpc_url, retry=ONCE) as client, ThreadPoolExecutor(REQUESTS) as pool:
        under_way = [pool.submit(client.transcribe, files[index % len(files)]) for index in range(REQUESTS)]
        while counted(server, "preprocess").answered < REQUESTS:  # all are past the first step
            time.sleep(0.01)
        stopping = threading.Thread(target=server.stop)
        stopping.start()

        with pytest.raises(ServerUnavailable):
            again_and_again(client, files[0])  # what comes before the server has heard of its end is answered
        stopping.join()

        assert [future.result().text for future in under_way] == [
            texts[index % len(texts)] for index in range(REQUESTS)
        ]


def again_and_again(client: Client, file: bytes) -> None:
    for _ in range(1000):
        client.transcribe(file)
