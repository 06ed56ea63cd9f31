"""The processes of the benchmark: a gateway, and callers; and the processor time that processes have used."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gateway_bench import caller

_STOP_S = 60


@dataclass(frozen=True)
class Gateway:
    """A gateway that listens."""

    url: str
    process: psutil.Process


@contextmanager
def gateway(triton: str) -> Iterator[Gateway]:
    """Start `triton-asr gateway` on a free port before a server, and stop it after the block.

    Raises:
        RuntimeError: it does not listen; the message is its own.
    """
    command = [sys.executable, "-m", "triton_asr", "gateway", "-u", triton, "--port", "0", "--max-requests", "64"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        ready = process.stderr.readline()
        try:
            if (found := re.search(r"http://\S+?(?=/)", ready)) is None:
                raise RuntimeError(f"the gateway did not start: {ready}")
            yield Gateway(found[0], psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(_STOP_S)


class Callers:
    """Callers in a process of their own. `callers` starts them."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def load(self, callers: int, seconds: float) -> dict[str, Any]:
        """Let so many callers send, and return their figures."""
        answer: dict[str, Any] = self._ask(callers, seconds)
        return answer

    def texts(self) -> list[str]:
        """Return the transcript of each recording, sent alone."""
        answer: list[str] = self._ask(0, 0.0)
        return answer

    def _ask(self, callers: int, seconds: float) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"callers": callers, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the callers' process has ended; its message is above")
        return json.loads(line)


@contextmanager
def callers(protocol: str, url: str, source: Path) -> Iterator[Callers]:
    """Start callers of a protocol, and end them after the block."""
    command = [sys.executable, caller.__file__, protocol, url, str(source)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Callers(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(_STOP_S)


def cpu_s(process: psutil.Process) -> float:
    """Return the processor seconds that a process and its children have used, of the user and of the system."""
    processes = [process, *process.children(recursive=True)]
    return float(sum(sum(one.cpu_times()[:2]) for one in processes))
