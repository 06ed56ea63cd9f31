"""ONNX Runtime on a GPU: a session that runs there or is refused, and the mark of work that is under way there.

The stand-in backend and Whisper share this. ONNX Runtime itself only prints a warning when it cannot use CUDA, and then
runs the model on the CPU, some hundred times slower. The mark is for the guard of `triton-asr serve`, which otherwise
tells by processor time whether a server is idle: a process that waits for a GPU may take none.
"""

import contextlib
import ctypes
import fcntl
import importlib.metadata
import importlib.util
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CUDA = "CUDAExecutionProvider"
INSTALL = "pip uninstall onnxruntime, then pip install 'triton-asr-kit[server-gpu]'"
# Variable: path of the file that is locked while a GPU works; unset where no guard wants to know.
WORK_FILE = "TRITON_ASR_GPU_WORK"


class GpuError(RuntimeError):
    """A model cannot run on its GPU."""


class NoCuda(GpuError):
    """The installed package of ONNX Runtime has no CUDA at all."""


def has_cuda() -> bool:
    """Return whether the installed ONNX Runtime has the CUDA provider, usable or not."""
    import onnxruntime as ort  # not at the top: the client has this package, too, and needs no ONNX Runtime

    return CUDA in ort.get_available_providers()


def onnx_runtime() -> str:
    """Return the name of the installed package of ONNX Runtime: onnxruntime, or onnxruntime-gpu in its place.

    Raises:
        importlib.metadata.PackageNotFoundError: neither is installed.
    """
    try:
        importlib.metadata.version("onnxruntime-gpu")
    except importlib.metadata.PackageNotFoundError:
        importlib.metadata.version("onnxruntime")
        return "onnxruntime"
    return "onnxruntime-gpu"


def open_session(file: Path, options: Any, gpu: int, cuda_options: Mapping[str, str]) -> Any:
    """Return an ONNX Runtime session of a graph on a GPU.

    Operators that CUDA lacks, and sums over shapes, run on the CPU within it, as in Triton's own backend.

    Args:
        file: of the graph.
        options: the `SessionOptions`.
        gpu: number of the device.
        cuda_options: further options of the CUDA provider.

    Raises:
        NoCuda: the installed ONNX Runtime has no CUDA provider.
        GpuError: CUDA or its libraries are missing, the device does not exist, or an option is wrong.
    """
    import onnxruntime as ort

    if not has_cuda():
        raise NoCuda(
            f"this instance must run on GPU {gpu}, but onnxruntime {ort.__version__} has no {CUDA} (it has "
            f"{', '.join(ort.get_available_providers())}); needs the package onnxruntime-gpu{_hint()}, or "
            "instance_group { kind: KIND_CPU }"
        )
    _load_libraries(ort)
    providers = [(CUDA, {**cuda_options, "device_id": str(gpu)}), "CPUExecutionProvider"]
    try:
        session = ort.InferenceSession(str(file), options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise GpuError(f"GPU {gpu} cannot run {file}: {error}") from error
    if CUDA not in session.get_providers():
        raise GpuError(
            f"this instance must run on GPU {gpu}, but onnxruntime-gpu {ort.__version__} cannot use CUDA: "
            f"{_missing(ort)}; needs a GPU with NVIDIA's driver, CUDA {_cuda_version(ort)} and cuDNN 9 "
            "(pip install 'onnxruntime-gpu[cuda,cudnn]')"
        )
    return session


@contextlib.contextmanager
def under_way() -> Iterator[None]:
    """Mark the block as work of a GPU: hold a shared lock on the file of WORK_FILE.

    The kernel frees the lock when a process dies. Without the file, nothing is marked.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = stack.enter_context(Path(os.environ.get(WORK_FILE) or os.devnull).open("rb"))
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _load_libraries(ort: Any) -> None:
    """Load CUDA's libraries, wherever pip put them.

    ONNX Runtime looks beside itself only. In a virtual environment with the system's packages, they are elsewhere.
    """
    found = importlib.util.find_spec("nvidia")  # a package in parts: nvidia-cublas, nvidia-cudnn-cu13, …
    parts = (found.submodule_search_locations if found else None) or ()
    folders = [library for part in parts for library in Path(part).glob("*/lib")]
    if preload := getattr(ort, "preload_dlls", None):  # since 1.21
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find, and something never is here
            for folder in folders:
                preload(directory=str(folder))
            preload()


def _missing(ort: Any) -> str:
    """Return why the CUDA provider, which ONNX Runtime failed to load, cannot be loaded.

    It must not be loaded before ONNX Runtime did: it would start without its host.
    """
    try:
        ctypes.CDLL(str(Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"))
    except OSError as error:
        return str(error)
    return "its log says why"


def _cuda_version(ort: Any) -> str:
    return str(getattr(ort, "cuda_version", "") or "12").split(".")[0]


def _hint() -> str:
    """Return how to install the package; where both are installed, one has overwritten the other's files."""
    if onnx_runtime() == "onnxruntime":
        return f" in place of onnxruntime ({INSTALL})"
    return " alone: onnxruntime, which is installed beside it, has overwritten it (pip uninstall both, then install it)"
