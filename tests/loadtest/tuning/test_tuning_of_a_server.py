"""One setting measured on a real Triton."""

import shutil
from pathlib import Path

import exports
import pytest
from asr_loadtest import recordings
from asr_loadtest.results import Slo
from asr_loadtest.tuning.settings import ModelFolders, Setting
from asr_loadtest.tuning.workshop import Load, Workshop

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[3]


def test_a_setting_is_measured_on_a_copy(tmp_path: Path) -> None:
    repository = Path(shutil.copytree(exports.exported(exports.DEMO), tmp_path / "models"))
    before = (repository / "acoustic" / "config.pbtxt").read_bytes()
    sent = recordings.load(ROOT / "demo" / "samples", number=3)
    load = Load("demo/samples", sent, Slo(), callers=4, seed=0)
    with Workshop(repository, ModelFolders(repository, "asr"), load) as workshop:
        run = workshop.measure(Setting(2, 1, 8, 1_000), "saturated", 1, seconds=0.0)
        broken = workshop.measure(Setting(1, 0, 0, 0), "saturated", 1, seconds=0.0)
    assert run.failed is None
    assert run.value is not None
    assert run.value > 0
    assert broken.value is None  # Triton does not load it
    assert (repository / "acoustic" / "config.pbtxt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
