"""Checkpoints and repositories that several folders of tests use; made once a session, on first use."""

from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# Machines are shared and noisy: how long an example takes says nothing about the code.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests of one server on one worker of pytest-xdist, and begin with them: they take longest."""
    for item in items:
        if item.get_closest_marker("e2e"):
            module = item.getparent(pytest.Module)
            assert module is not None
            has_own = "server" not in getattr(item, "fixturenames", ()) or hasattr(module.obj, "server")
            name = module.nodeid if has_own else module.path.parent.name
            item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


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
