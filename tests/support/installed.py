"""Commands as users run them: in a process of their own, which knows nothing of the test runner's paths."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("triton-asr")


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what points Python to code."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run(
    *command: object, cwd: Path, timeout_s: float = 240, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it left behind.

    Args:
        command: the program and its arguments.
        cwd: where it runs; not the checkout, whose modules Python would find there.
        timeout_s: after which the test fails.
        environment: `clean_environment()` by default.
    """
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=clean_environment() if environment is None else environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
