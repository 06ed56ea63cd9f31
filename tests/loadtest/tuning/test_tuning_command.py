"""`triton-asr tune` with fake measurements."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from asr_loadtest.tuning import command
from asr_loadtest.tuning.evidence import Tuning
from asr_loadtest.tuning.settings import ModelFolders
from loadtest_reports import report
from typer.testing import CliRunner

ROOT = Path(__file__).parents[3]
SAMPLES = str(ROOT / "demo" / "samples")

app = typer.Typer()
app.command()(command.tune)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The checked-in models of a CTC checkpoint, as a repository."""
    for model in ("asr", "preprocess", "acoustic", "ctc_decode"):
        (tmp_path / "models" / model).mkdir(parents=True)
        shutil.copy(ROOT / "model_repository" / model / "config.pbtxt", tmp_path / "models" / model)
    return tmp_path / "models"


@pytest.fixture
def two_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements after which two instances of one thread are best."""

    def tuned(repository: Path, folders: ModelFolders, *_: Any) -> Tuning:
        made, current = report(), folders.setting()
        best = replace(current, instances=2, threads=1)
        parts = (made.machine, str(repository), "asr", made.profile, made.slo)
        return Tuning("2025-06-01T12:00:00+00:00", "", *parts, "by hand", current, best, 0.2, 0.01, "better", ())

    monkeypatch.setattr(command, "_tune", tuned)


@pytest.mark.usefixtures("two_instances")
def test_the_best_configuration_goes_to_the_output_alone(repository: Path, tmp_path: Path) -> None:
    before = ModelFolders(repository, "asr").setting()
    result = CliRunner().invoke(app, [str(repository), SAMPLES, "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "tune.json").is_file()
    assert "count: 2" in (tmp_path / "out" / "acoustic" / "config.pbtxt").read_text()
    assert ModelFolders(repository, "asr").setting() == before


@pytest.mark.usefixtures("two_instances")
def test_applied_it_goes_into_the_repository(repository: Path, tmp_path: Path) -> None:
    CliRunner().invoke(app, [str(repository), SAMPLES, "--apply", "--output", str(tmp_path / "out")])
    assert ModelFolders(repository, "asr").setting().instances == 2
    assert (repository / "acoustic" / "config.pbtxt.before-tune").is_file()


@pytest.mark.parametrize("options", [["--instances", "0"], ["--threads", "a"], ["--max-batch", "1.5"]])
def test_numbers_that_are_none_are_wrong_usage(repository: Path, options: list[str]) -> None:
    assert CliRunner().invoke(app, [str(repository), SAMPLES, *options]).exit_code == 2
