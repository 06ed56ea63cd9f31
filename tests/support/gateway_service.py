"""`triton-asr gateway` in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 60


@dataclass(frozen=True)
class Gateway:
    """A gateway that listens."""

    url: str  # http://HOST:PORT
    ready: str  # what it said
    process: "subprocess.Popen[str]"

    @property
    def api(self) -> str:
        """The base URL of OpenAI's SDKs."""
        return f"{self.url}/v1"


@contextmanager
def running(triton: str, *options: object, temporary: Path | None = None) -> Iterator[Gateway]:
    """A gateway on a free port.

    Args:
        triton: HOST:PORT of gRPC.
        options: of the command.
        temporary: the folder for its temporary files.
    """
    command = [sys.executable, "-m", "triton_asr", "gateway", "-u", triton, "--port", "0", *map(str, options)]
    environment = {**os.environ, **({"TMPDIR": str(temporary)} if temporary else {})}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            ready = process.stderr.readline()
            found = re.match(r"ready: (http://\S+)/v1 ", ready)
            assert found, ready + process.stderr.read()
            yield Gateway(found[1], ready, process)
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)
