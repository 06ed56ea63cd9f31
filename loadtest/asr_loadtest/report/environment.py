"""The machine of the load generator and its versions of packages, without which figures cannot be compared."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from asr_loadtest.results import Machine

PACKAGES = (
    "triton-asr-kit",
    "tritonclient",
    "grpcio",
    "aiohttp",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "nvidia-pytriton",
)
_CPU_INFO = Path("/proc/cpuinfo")


def machine() -> Machine:
    """Return this machine."""
    return Machine(
        cpu=_cpu(),
        cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
    )


def _cpu() -> str:
    """Return the name of the processor on Linux; on other systems at least its architecture."""
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
