"""A checkpoint that has been through the whole export, once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from asr_export import ExportResult, export_checkpoint


@pytest.fixture(scope="session")
def exported(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """The group-norm Wav2Vec2 in a repository of its own. Copy it before you change it."""
    return export_checkpoint(
        str(tiny_checkpoint("wav2vec2-group-norm")), tmp_path_factory.mktemp("exported") / "models"
    )
