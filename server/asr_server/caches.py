"""The cache folder of this package and of the libraries that it uses."""

import os
from pathlib import Path

VARIABLE = "XDG_CACHE_HOME"


def folder() -> Path | None:
    """Return the user's cache folder, or None if there is no such folder or it is not writable.

    A container that runs under an arbitrary uid often has neither HOME nor an entry in /etc/passwd, or HOME is "/".
    """
    try:
        found = Path(os.environ.get(VARIABLE) or Path("~/.cache").expanduser()).absolute()
    except RuntimeError:  # there is no home
        return None
    # os.path, because Path.exists raises if this process may not search a parent.
    there = next(parent for parent in (found, *found.parents) if os.path.exists(parent))  # noqa: PTH110
    return found if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else None


def environment(scratch: Path) -> dict[str, str]:
    """Return the variables to add to a process's environment, so that its libraries have a cache folder.

    The folder is `scratch` if the user has none. Without a cache folder, numba and librosa fail or write into a folder
    called "~".
    """
    return {} if folder() else {VARIABLE: str(scratch)}
