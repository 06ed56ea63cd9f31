"""The file of results: figures are written part by part, with the device, versions and settings they hold for."""

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asr_contract.gpu import onnx_runtime
from machine import machine

PACKAGES = ("nvidia-pytriton", "onnx", "torch", "transformers", "tritonclient", "triton-asr-kit")
_QUERY = "name,driver_version,memory.total"


def about_device(gpu: int | None) -> dict[str, Any]:
    """Return what figures depend on: processor, GPU and driver, and versions.

    Raises:
        SystemExit: there is no such GPU.
    """
    found = machine((*PACKAGES, onnx_runtime()))
    return {**found, "gpu": None if gpu is None else _gpu(gpu)}


class Results:
    """The results of parts, in a file.

    Args:
        path: of the file; parts that it holds already stay.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["parts"] if path.is_file() else {}

    def figures(self, part: str, about: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the figures of a part; None if there are none, or of another device, version or setting."""
        found = self._parts.get(part)
        return found["figures"] if found and found["about"] == json.loads(json.dumps(about)) else None

    def add(self, part: str, about: Mapping[str, Any], figures: Mapping[str, Any], took_s: float) -> None:
        """Write the figures of a part into the file."""
        self._parts[part] = {"about": about, "took_s": round(took_s, 1), "figures": _rounded(figures)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"parts": self._parts}, indent=2) + "\n", encoding="utf-8")
        new.replace(self._path)  # a run that is killed meanwhile leaves the old file


def _gpu(number: int) -> dict[str, str]:
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader", f"--id={number}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise SystemExit(
            f"there is no GPU {number} with NVIDIA's driver here ({error}); --rehearse needs none"
        ) from None
    about = dict(zip(_QUERY.split(","), found.stdout.strip().split(", "), strict=True))
    return {**about, "cuda_packages": ", ".join(_cuda_packages())}


def _cuda_packages() -> list[str]:
    names = ("nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-cuda-runtime")
    return [f"{name} {found}" for name in names if (found := _version(name))]


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _rounded(value: Any) -> Any:
    """Return figures with four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
