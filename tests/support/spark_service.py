"""What the tests of `asr_spark` send, and what the server says of it."""

import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import steady_ports
from asr_server import TritonServer
from triton_counts import counted, settled

SAMPLES = Path(__file__).parents[2] / "demo" / "samples"


def samples(rate: int) -> np.ndarray:
    """A mono sample of this rate, as float32 within ±1."""
    with wave.open(str(SAMPLES / "quilter.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (rate, 1)
        return (np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768).astype(np.float32)


def answered(server: TritonServer) -> int:
    """The requests that the server's model has answered, less some that Triton counts a moment after their answers."""
    return counted(server, "asr").answered


def all_answered(server: TritonServer) -> int:
    """The requests that the server's model has answered, once it has nothing to do."""
    return settled(server, "asr").answered


def serving(repository: Path) -> TritonServer:
    """A server that is not started yet; it keeps its free ports when it starts again."""
    http, grpc, metrics = steady_ports.free(3)
    return TritonServer(repository, http_port=http, grpc_port=grpc, metrics_port=metrics, log=lambda line: None)


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
