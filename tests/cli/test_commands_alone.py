"""Commands and scripts as users run them, where nothing but the installation tells Python where code is."""

import ast
import json
import sys
from pathlib import Path

import installed
import pytest
from installed import COMMAND, ROOT

SUBCOMMANDS = (
    "export",
    "inspect",
    "serve",
    "gateway",
    "gateway-key",
    "transcribe",
    "stream",
    "evaluate",
    "models",
    "loadtest",
    "tune",
)
SAMPLES = ROOT / "demo" / "samples"


def scripts() -> list[Path]:
    """Every file of the benchmarks and the demo that is run as a program."""
    found = [path for folder in ("benchmarks", "demo") for path in sorted((ROOT / folder).glob("*.py"))]
    return [path for path in found if any(isinstance(node, ast.If) for node in ast.parse(path.read_text()).body)]


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_subcommand_starts(subcommand: str, tmp_path: Path) -> None:
    done = installed.run(COMMAND, subcommand, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"triton-asr {subcommand}" in done.stdout


@pytest.mark.parametrize("script", scripts(), ids=lambda path: path.name)
def test_every_script_starts(script: Path, tmp_path: Path) -> None:
    done = installed.run(sys.executable, script, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"usage: {script.name}" in done.stdout  # transformers may have printed something before


def test_an_export_compares_word_errors(tmp_path: Path) -> None:
    done = installed.run(
        COMMAND,
        "export",
        ROOT / "demo" / "checkpoint",
        *("--output", tmp_path / "models"),
        *("--check-manifest", SAMPLES / "manifest.tsv"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "word error rate over 200 words: PyTorch 4.50 %, this graph 4.50 %; 0 of 16 transcripts" in done.stdout


def test_the_precisions_are_measured(tmp_path: Path) -> None:
    done = installed.run(
        sys.executable,
        ROOT / "benchmarks" / "precision.py",
        *(ROOT / "demo" / "checkpoint", SAMPLES / "manifest.tsv"),
        *("--rounds", 1, "--without-base-size", "--result", tmp_path / "precision.json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "precision.json").read_text())["figures"]
    assert figures["word_errors"].keys() == {"fp32", "fp16", "int8"}
    assert figures["word_errors"]["fp32"]["graph_wer"] == pytest.approx(4.5)
