"""One real Triton for all end-to-end tests of the demo checkpoint, served as `asr`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from asr_client import Client
from asr_export import ExportOptions, export_checkpoint
from asr_server import TritonServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo checkpoint, exported with a language model. Copy it before you change it."""
    repository = tmp_path_factory.mktemp("repository") / "models"
    # Room for all that a test sends at once; tests/faults has the default, and what is refused by it.
    options = ExportOptions(max_queue=256, lm=str(ROOT / "demo" / "language_model.arpa"))
    export_checkpoint(str(ROOT / "demo" / "checkpoint"), repository, options)
    return repository


@pytest.fixture(scope="session")
def server(repository: Path) -> Iterator[TritonServer]:
    """The server, on free ports."""
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: TritonServer) -> Iterator[Client]:
    """A client of `asr` over gRPC."""
    with Client(server.grpc_url) as connected:
        yield connected


@pytest.fixture(scope="session")
def samples() -> dict[Path, str]:
    """The demo's recordings and what is said in them."""
    rows = (ROOT / "demo" / "samples" / "manifest.tsv").read_text(encoding="utf-8").splitlines()[1:]
    pairs = [row.split("\t") for row in rows]
    return {ROOT / "demo" / "samples" / audio: text for audio, text in pairs}
