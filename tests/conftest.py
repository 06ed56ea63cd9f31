"""Checkpoints, repositories and the server that several folders of tests use; made once a session, on first use."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from asr_client import Client
    from asr_server import TritonServer
    from certificates import Certificate

# Every test process has a processor to itself. Two of them with threads for every processor wait for each other, which
# makes tiny models ten times slower.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines are shared and noisy: how long an example takes says nothing about the code.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a file by its length, because it may hold the time of its making, and all workers must collect the same."""
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) and len(val) > 40 else None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep tests of one server on one worker of pytest-xdist, which looks at the groups before `modifyitems` here."""
    if item.get_closest_marker("e2e"):
        servers = item._fixtureinfo.name2fixturedefs.get("server")  # type: ignore[attr-defined]
        item.add_marker(
            pytest.mark.xdist_group(servers[-1].baseid or "demo" if servers else item.nodeid.split("::")[0])
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of servers: they take longest."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Take back what training and some peers set for their process, which here is everybody's."""
    yield
    if "PYTEST_XDIST_WORKER" in os.environ and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> "Certificate":
    """A certificate for localhost that signs itself."""
    from certificates import self_signed

    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a random checkpoint of one of `tiny_checkpoints.KINDS`. Copy it before you change it."""
    import tiny_checkpoints  # torch: only for the tests that need it

    root = tmp_path_factory.mktemp("checkpoints")

    def get(kind: str) -> Path:
        return root / kind if (root / kind).exists() else tiny_checkpoints.write(kind, root / kind)

    return get


@pytest.fixture(scope="session")
def whisper_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a random checkpoint of one of `tiny_whisper.KINDS`. Copy it before you change it."""
    import tiny_whisper  # torch: only for the tests that need it

    root = tmp_path_factory.mktemp("whisper-checkpoints")

    def get(kind: str) -> Path:
        return root / kind if (root / kind).exists() else tiny_whisper.write(kind, root / kind)

    return get


@pytest.fixture(scope="session")
def whisper_artefacts(
    whisper_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A folder with what an export writes beside the decode step of such a checkpoint. Copy it before you change it."""
    root = tmp_path_factory.mktemp("whisper-artefacts")

    def get(kind: str) -> Path:
        from asr_export.checkpoint.loading import locate
        from asr_export.whisper import artefacts, checkpoint

        if not (root / kind).exists():
            (root / kind).mkdir()
            artefacts.write_artefacts(checkpoint.load(locate(str(whisper_checkpoint(kind)))), root / kind)
        return root / kind

    return get


@pytest.fixture(scope="session")
def demo_repository() -> Path:
    """The demo checkpoint, exported with a language model. Copy it before you change it."""
    import exports  # torch: only for the tests that need it
    from asr_export import ExportOptions

    # Room for all that a test sends at once; tests/faults has the default, and what is refused by it.
    options = ExportOptions(max_queue=256, lm=str(exports.DEMO.parent / "language_model.arpa"))
    return exports.exported(exports.DEMO, options)


@pytest.fixture(scope="session")
def server(demo_repository: Path) -> "Iterator[TritonServer]":
    """A real Triton on free ports that serves the demo checkpoint as `asr`."""
    from asr_server import TritonServer

    with TritonServer(demo_repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: "TritonServer") -> "Iterator[Client]":
    """A client of `asr` over gRPC."""
    from asr_client import Client

    with Client(server.grpc_url) as connected:
        yield connected
