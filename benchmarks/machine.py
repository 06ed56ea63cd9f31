"""The machine on which figures were measured."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

IDLE_S = 2.0


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


def idle_cores() -> float:
    """Return the cores that this process and its children use while idle, which would disturb what is measured."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]

    def used_s() -> float:
        return float(sum(sum(process.cpu_times()[:2]) for process in processes))

    before = used_s()
    time.sleep(IDLE_S)
    return round((used_s() - before) / IDLE_S, 3)
