"""`triton-asr export` as a user runs it: in a process of its own."""

import subprocess
import sys
from pathlib import Path


def run_export(
    source: Path | str, output: Path, *options: str, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Export into the repository `output`; return the process, whose code says whether it succeeded."""
    command = [sys.executable, "-m", "triton_asr", "export", str(source), "-o", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)
