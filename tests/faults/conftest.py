"""One real Triton for the faults that it outlives, and what its callers send."""

import sys
from collections.abc import Iterator
from pathlib import Path

import exports
import pytest
from asr_client import Client
from asr_export import ExportOptions
from asr_loadtest.mix import Uniform, make
from asr_server import TritonServer

ROOT = Path(__file__).parents[2]
# The long versions of these tests, which are scripts and no package; and what a server leaves on the machine.
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "tests" / "server")]
SAMPLES = [path for path in sorted((ROOT / "demo" / "samples").iterdir()) if path.suffix != ".tsv"]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The demo checkpoint, with a short queue: overload shows sooner. Copy it before you change it."""
    return exports.exported(exports.DEMO, ExportOptions(max_queue=16))


@pytest.fixture(scope="session")
def files() -> list[bytes]:
    """WAV files of 1 to 3 s."""
    return make(SAMPLES, Uniform(1, 3).lengths(8), seed=0)


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[TritonServer]:
    """The server, on free ports."""
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0, log=lambda line: None) as running:
        yield running


@pytest.fixture(scope="session")
def texts(server: TritonServer, files: list[bytes]) -> list[str]:
    """What the server says of each file when it has nothing else to do."""
    with Client(server.grpc_url) as client:
        return [client.transcribe(file).text for file in files]
