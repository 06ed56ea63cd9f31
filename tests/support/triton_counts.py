"""What a Triton has counted of a model, for tests that compare it before and after.

Triton counts a request after it has sent the answer on. On a busy machine, the caller may read a figure in between. So
a figure that is read right after an answer lacks some requests, and appears to count them later. `settled` waits.
"""

import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Self

from asr_server import TritonServer


@dataclass(frozen=True)
class Counts:
    """What a model has done since the server started, or between two readings."""

    answered: int  # requests, those that it refused not among them
    inferences: int  # recordings or windows, refused ones among them
    executions: int  # runs, each of one batch

    def __sub__(self, earlier: Self) -> "Counts":
        return Counts(
            self.answered - earlier.answered,
            self.inferences - earlier.inferences,
            self.executions - earlier.executions,
        )


def counted(server: TritonServer, model: str) -> Counts:
    """Return what is counted now; some requests may be missing that are answered already."""
    with urllib.request.urlopen(f"http://{server.http_url}/v2/models/{model}/stats", timeout=30) as page:
        (figures,) = json.load(page)["model_stats"]
    return Counts(
        figures["inference_stats"]["success"]["count"], figures["inference_count"], figures["execution_count"]
    )


def settled(server: TritonServer, model: str, still_s: float = 0.5, timeout_s: float = 60) -> Counts:
    """Return what is counted once the model has nothing to do: when the figures stand still for `still_s` seconds."""
    deadline = time.monotonic() + timeout_s
    last = counted(server, model)
    while True:
        time.sleep(still_s)
        before, last = last, counted(server, model)
        if last == before:
            return last
        assert time.monotonic() < deadline, f"{model} is still at work after {timeout_s:g} s"
