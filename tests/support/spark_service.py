"""What the tests of `asr_spark` send, and what the server says of it."""

import re
import time
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from asr_server import TritonServer
from asr_server.ports import Ports, reserve

SAMPLES = Path(__file__).parents[2] / "demo" / "samples"
_ANSWERED = re.compile(r'^nv_inference_request_success\{model="asr",[^}]*\} (\d+)', re.MULTILINE)


def samples(rate: int) -> np.ndarray:
    """A mono sample of this rate, as float32 within ±1."""
    with wave.open(str(SAMPLES / "quilter.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (rate, 1)
        return (np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768).astype(np.float32)


def answered(server: TritonServer) -> int:
    """The requests that the server's model has answered."""
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics", timeout=30) as page:
        found = re.search(
            r'^nv_inference_request_success\{model="asr",[^}]*\} (\d+)', page.read().decode(), re.MULTILINE
        )
    return int(found[1]) if found else 0


def serving(repository: Path) -> TritonServer:
    """A server that is not started yet; it keeps its free ports when it starts again."""
    ports = reserve("127.0.0.1", Ports(0, 0, 0))
    return TritonServer(
        repository, http_port=ports.http, grpc_port=ports.grpc, metrics_port=ports.metrics, log=lambda line: None
    )


def kill(server: TritonServer) -> None:
    """End the server at once, with all requests that it has."""
    server.kill()
    server.stop()


def wait_until(what: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Return when it is so."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.05)
