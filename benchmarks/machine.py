"""The machine on which figures were measured."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return the processor, the cores that this process may use, and the versions of Python and of packages."""
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
