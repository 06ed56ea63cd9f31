"""A cache folder for the libraries that a subcommand imports, where its user has none."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import typer
from asr_server import caches

# Subcommands whose libraries (huggingface_hub, librosa, numba, matplotlib) ask for one as they are imported.
NEEDED_BY = frozenset(("export", "loadtest", "tune"))


def provide() -> None:
    """Let the user's cache folder be a temporary one for this process and its children, where there is no other.

    To be called before the libraries are imported.
    """
    if caches.folder():
        return
    folder = Path(tempfile.mkdtemp(prefix="triton-asr-cache-"))
    os.environ.update(caches.environment(folder))
    atexit.register(_remove, folder, os.getpid())
    typer.echo(
        "triton-asr: note: there is no home folder that can be written; downloads and other caches go to a temporary "
        f"folder, which is removed at the end. {caches.VARIABLE}=DIR keeps them",
        err=True,
    )


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a fork of this process ends before it does
        shutil.rmtree(folder, ignore_errors=True)
