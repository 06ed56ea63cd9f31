"""A model as its users have it: exported by the command, served by a real Triton."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asr_client import Client
from asr_server import TritonServer

# Seconds that a client waits for one recording: a quarter of an hour of audio, on a machine that has other work.
PATIENCE_S = 1_800


@dataclass(frozen=True)
class Service:
    """A model that is being served as `asr`."""

    repository: Path
    url: str  # gRPC
    client: Client
    export_s: float  # seconds that the export took, in a process of its own

    @property
    def bytes(self) -> int:
        """Return the size of the repository."""
        return sum(path.stat().st_size for path in self.repository.rglob("*") if path.is_file())


@contextlib.contextmanager
def served(source: Path, repository: Path, *options: str) -> Iterator[Service]:
    """Export a checkpoint or a graph, and serve it on free ports.

    Raises:
        AssertionError: a command failed; the message has what it said.
    """
    begin = time.monotonic()
    command("export", str(source), "--output", str(repository), *options)
    export_s = time.monotonic() - begin
    with (
        TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as server,
        Client(server.grpc_url, timeout_s=PATIENCE_S) as client,
    ):
        yield Service(repository, server.grpc_url, client, export_s)


def command(*arguments: str) -> str:
    """Run `triton-asr` in a process of its own; return its standard output.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run([sys.executable, "-m", "triton_asr", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"triton-asr {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
