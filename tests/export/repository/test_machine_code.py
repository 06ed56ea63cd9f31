"""Compiled code goes along with an export, and is used there."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from asr_export.repository import machine_code
from asr_export.repository.model_folder import copy_template

PROGRAM = "from asr_serving.ctc import spotting; print(sum(spotting._spot.stats.cache_hits.values()))"


def hits(decode_step: Path) -> int:
    """How many times a process that loads the search for hotwords finds it compiled."""
    run = [sys.executable, "-B", "-c", PROGRAM]
    return int(subprocess.run(run, cwd=decode_step / "1", capture_output=True, check=True, text=True).stdout)


def test_an_exported_decode_step_compiles_nothing(tmp_path: Path) -> None:
    copy_template("ctc_decode", tmp_path / "one")
    machine_code.copy_to(tmp_path / "one")
    shutil.move(tmp_path / "one", tmp_path / "other")
    assert hits(tmp_path / "other") == 1


def test_where_the_compiler_could_not_write_nothing_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_code.asr_serving, "__file__", str(tmp_path / "elsewhere" / "__init__.py"))
    machine_code._compiled.cache_clear()
    try:
        copy_template("ctc_decode", tmp_path / "one")
        machine_code.copy_to(tmp_path / "one")
    finally:
        machine_code._compiled.cache_clear()
    assert not list((tmp_path / "one").rglob("__pycache__"))
