"""Commands under a uid that no one knows: without HOME, without an entry in /etc/passwd."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

UID = 1_000_730


def needed() -> pytest.MarkDecorator:
    """Return the mark of a test that has to change its uid."""
    can = os.geteuid() == 0 and shutil.which("setpriv") is not None
    return pytest.mark.skipif(not can, reason="only root can become another uid, and with the program setpriv")


@contextmanager
def place() -> Iterator[Path]:
    """Yield a folder that this uid can write; pytest's own are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="asr-without-home-"))
    try:
        folder.chmod(0o777)
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o777)
        yield folder
    finally:
        shutil.rmtree(folder)


def prefix() -> list[str]:
    """Return what goes before a command."""
    as_stranger = ["setpriv", f"--reuid={UID}", "--regid=0", "--clear-groups"]
    python = Path(sys.executable).resolve()
    if subprocess.run([*as_stranger, "test", "-x", python], check=False).returncode:
        # This Python lies in the home of root: to search and to read it is all that is added.
        as_stranger += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return as_stranger


def environment(folder: Path) -> dict[str, str]:
    """Return all that such a process knows: where programs are, and where temporary files go."""
    return {"PATH": "/usr/bin:/bin", "TMPDIR": str(folder / "tmp")}
