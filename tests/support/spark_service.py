"""What the tests of `asr_spark` send, and what the server says of it."""

import re
import urllib.request
import wave
from pathlib import Path

import numpy as np
from asr_server import TritonServer

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
