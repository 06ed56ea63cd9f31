"""The folder of backends for the pip-installed Triton: its Python backend with our Python's stub, and the stand-in.

The folder is made once, in the user's cache folder. It holds copies and no links, because Triton may chmod the stub,
and must not do that to the package.
"""

import hashlib
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import asr_contract

from asr_server import caches

_STAND_IN = Path(__file__).parent / "backends" / "onnxruntime"
_STAND_IN_FILES = ("model.py", "onnx_batch.py", "onnx_cuda.py", "onnx_device.py", "onnx_runs.py")
_CONTRACT = Path(asr_contract.__file__).parent
_CONTRACT_FILES = ("__init__.py", "gpu.py")  # what the stand-in imports of it


def prepare(*, python_backend: Path, stub: Path, scratch: Path) -> Path:
    """Return the folder for --backend-directory; make it if needed, in `scratch` if the cache folder cannot hold it.

    Its name holds the versions and a hash of the contents. So an upgrade makes a new folder, and a running server keeps
    the one with which it started.
    """
    sources = _sources(python_backend, stub)
    name = _name(sources, stub.parent.name)
    cache = caches.folder()
    for parent in (cache / "triton-asr-kit", scratch) if cache else (scratch,):
        folder = parent / name
        try:
            if not _is_complete(folder, sources):
                _make(folder, sources)
        except OSError:
            continue  # e.g. a full disk
        if _is_complete(folder, sources):  # it is not on a file system mounted noexec
            return folder
    raise OSError(f"neither {cache or 'a home'} nor {scratch} can hold Triton's backends (read-only, full, or noexec)")


def _sources(python_backend: Path, stub: Path) -> dict[Path, Path]:
    """Return the contents of the folder: path inside it -> file to copy."""
    python = {Path("python") / name: python_backend / name for name in _PYTHON_FILES}
    stand_in = {Path("onnxruntime") / name: _STAND_IN / name for name in _STAND_IN_FILES}
    contract = {Path("onnxruntime", "asr_contract", name): _CONTRACT / name for name in _CONTRACT_FILES}
    return {**python, Path("python") / stub.name: stub, **stand_in, **contract}


_PYTHON_FILES = ("libtriton_python.so", "triton_python_backend_utils.py")


def _name(sources: dict[Path, Path], python_version: str) -> str:
    digest = hashlib.sha256()
    for source in sources.values():
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return f"backends-{metadata.version('nvidia-pytriton')}-python{python_version}-{digest.hexdigest()[:12]}"


def _is_complete(folder: Path, sources: dict[Path, Path]) -> bool:
    """Return whether every file is there in full size, and executable if its source is (clean-up jobs remove files)."""
    for relative, source in sources.items():
        copy = folder / relative
        if not copy.is_file() or copy.stat().st_size != source.stat().st_size:
            return False
        if os.access(source, os.X_OK) and not os.access(copy, os.X_OK | os.R_OK):
            return False
    return True


def _make(folder: Path, sources: dict[Path, Path]) -> None:
    """Fill a temporary folder and rename it to `folder`, so that another process sees all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
        for relative, source in sources.items():
            copy = Path(new) / "backends" / relative
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
        if folder.exists():  # incomplete
            folder.rename(Path(new) / "incomplete")
        try:
            (Path(new) / "backends").rename(folder)
        except OSError:
            if not _is_complete(folder, sources):  # if it is, another process was faster, with the same contents
                raise
