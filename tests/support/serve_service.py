"""`triton-asr serve --gateway` in a process of its own."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "triton_asr", "serve"]
PORTS = ["--http-port=0", "--grpc-port=0", "--metrics-port=0", "--gateway", "--gateway-port=0"]
TIMEOUT_S = 60


@dataclass(frozen=True)
class Served:
    """A server with a gateway before it."""

    process: "subprocess.Popen[str]"
    ready: list[str]  # words of the line

    @property
    def page(self) -> str:
        return self.ready[self.ready.index("page") + 1]

    def status(self, path: str) -> int:
        """The status of the gateway's answer."""
        try:
            with urllib.request.urlopen(self.page + path, timeout=TIMEOUT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


@contextmanager
def served(repository: Path, *options: object) -> Iterator[Served]:
    command = [*COMMAND, str(repository), *PORTS, *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert line.startswith("ready: page http://"), line + process.stderr.read()
            yield Served(process, line.split())
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """The status of a process, and the rest of its standard error."""
    _, said = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, said
