"""One real Triton for all end-to-end tests: the demo checkpoint as `asr`, random ones of both families beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asr_client import Client
from asr_export import ExportOptions, export_checkpoint
from asr_server import TritonServer

ROOT = Path(__file__).parents[2]
# Name of the served model -> kind of `tiny_checkpoints`.
RANDOM_MODELS = {"wav2vec2": "wav2vec2-group-norm", "hubert": "hubert-layer-norm"}


@pytest.fixture(scope="session")
def repository(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All models in one repository."""
    output = tmp_path_factory.mktemp("repository") / "models"
    export_checkpoint(str(ROOT / "demo" / "checkpoint"), output)
    for name, kind in RANDOM_MODELS.items():
        export_checkpoint(str(tiny_checkpoint(kind)), output, ExportOptions(name=name))
    return output


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
