"""Where this package and the libraries underneath keep what can be made again."""

import os
from pathlib import Path

VARIABLE = "XDG_CACHE_HOME"


def folder() -> Path | None:
    """Return the user's cache folder, or None where there is no such place or it cannot be written.

    A container that runs under an arbitrary uid often has neither HOME nor an entry in /etc/passwd, or HOME is "/".
    """
    try:
        found = Path(os.environ.get(VARIABLE) or Path("~/.cache").expanduser()).absolute()
    except RuntimeError:  # there is no home
        return None
    # os.path, because Path.exists raises where a parent may not be searched.
    there = next(parent for parent in (found, *found.parents) if os.path.exists(parent))  # noqa: PTH110
    return found if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else None


def environment(scratch: Path) -> dict[str, str]:
    """Return what to lay over a process's environment so that its libraries have a cache folder: `scratch` at need.

    Without one, numba and librosa fail or write into a folder called "~".
    """
    return {} if folder() else {VARIABLE: str(scratch)}
