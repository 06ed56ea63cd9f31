"""A cache folder for the libraries that a subcommand imports, for a user who has none."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import typer
from asr_server import caches

# Subcommands whose libraries (huggingface_hub, librosa, numba, matplotlib) need a cache folder at import.
NEEDED_BY = frozenset(("export", "loadtest", "tune"))


def provide() -> None:
    """Make a temporary cache folder for this process and its children, if the user has no cache folder.

    Call it before the libraries are imported.
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
    if os.getpid() == owner:  # a fork of this process ends earlier, and must leave the folder
        shutil.rmtree(folder, ignore_errors=True)
