"""The search for a tritonserver, with the environment and the options that it needs.

There are two kinds. A full server (from the Triton container image, or the given one) runs as it is, with its own
backends. Otherwise this package runs the tritonserver inside the `nvidia-pytriton` package, and tells it where its
backends and libraries are.
"""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path

from asr_server import backend_folder
from asr_server.errors import TritonNotFoundError, UnsupportedError

_OLDEST_GLIBC = (2, 35)  # the wheel is manylinux_2_35
_LIBRARY_FOLDERS = tuple(map(Path, ("/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64")))
_INSTALL = "pip install 'triton-asr-kit[server]'"


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can run."""

    binary: Path
    options: tuple[str, ...] = ()  # the folders of its backends and caches, if they are not where it looks by default
    environment: Mapping[str, str] = field(default_factory=dict)  # added to the environment of this process


def find(tritonserver: str | os.PathLike[str] | None, scratch: Path) -> Installation:
    """Return the given tritonserver, else one on PATH, else the pip-installed one.

    Args:
        tritonserver: the program to run; None: search.
        scratch: a private folder for files that cannot go into the cache folder.

    Raises:
        TritonNotFoundError: the given one cannot run, or there is none at all.
        UnsupportedError: the pip-installed one cannot run on this machine.
    """
    if tritonserver is not None:
        return Installation(_given(Path(tritonserver)))
    if on_path := shutil.which("tritonserver"):
        return Installation(Path(on_path))
    return _pip_installed(scratch)


def is_pip_installed(tritonserver: str | os.PathLike[str] | None) -> bool:
    """Return whether `find` would choose the pip-installed one."""
    return tritonserver is None and shutil.which("tritonserver") is None


def _given(binary: Path) -> Path:
    found = shutil.which(binary)
    if found:
        return Path(found).absolute()
    if binary.is_dir():
        raise TritonNotFoundError(f"{binary} is a folder; --tritonserver needs the program, e.g. {binary}/tritonserver")
    if binary.exists():
        raise TritonNotFoundError(f"{binary} is not executable; give --tritonserver a program (or chmod +x it)")
    raise TritonNotFoundError(f"there is no tritonserver at {binary}; leave --tritonserver out to use the one from pip")


def _pip_installed(scratch: Path) -> Installation:
    check_platform(sys.platform, platform.machine(), _libc())
    triton, libraries = _pip_folders()
    stub = _stub(triton)
    libpython = find_libpython()
    programs = Path(sys.executable).parent  # not resolved, because the link selects the virtual environment
    check_interpreter(programs / "python3")
    if shutil.which("bash") is None:
        raise UnsupportedError(
            "bash is missing: Triton starts Python models with it. Debian and Ubuntu: apt-get install bash"
        )
    backends = backend_folder.prepare(python_backend=triton / "backends" / "python", stub=stub, scratch=scratch)
    # The stub embeds Python and takes the environment of the first `python3` on PATH, so ours must be the first. It is
    # copied out of its package, so it finds its libraries only by LD_LIBRARY_PATH.
    environment = {
        "PATH": _joined(programs, os.environ.get("PATH")),
        "LD_LIBRARY_PATH": _joined(libraries, libpython.parent, os.environ.get("LD_LIBRARY_PATH")),
    }
    options = (f"--backend-directory={backends}", f"--cache-directory={triton / 'caches'}")
    return Installation(triton / "bin" / "tritonserver", options, environment)


def _libc() -> tuple[str, tuple[int, ...]]:
    """Return the name and the version of the C library, e.g. ("glibc", (2, 36)); for musl ("", ())."""
    name, version = platform.libc_ver()
    return name, tuple(int(part) for part in version.split(".") if part.isdigit())


def check_platform(system: str, machine: str, libc: tuple[str, tuple[int, ...]]) -> None:
    """Raise UnsupportedError unless the pip-installed Triton can run here."""
    needs = "the pip-installed Triton needs Linux on x86-64 with glibc 2.35 or later (Debian 12, Ubuntu 22.04)"
    otherwise = "; elsewhere run the Triton container image, and this kit's client against it"
    if not system.startswith("linux") or machine not in ("x86_64", "AMD64"):
        raise UnsupportedError(f"{needs}, this is {system} on {machine}{otherwise}")
    name, version = libc
    if name != "glibc":
        raise UnsupportedError(f"{needs}, this Linux has another C library (Alpine's musl?){otherwise}")
    if version < _OLDEST_GLIBC:
        raise UnsupportedError(f"{needs}, this one has glibc {'.'.join(map(str, version))}{otherwise}")


def _pip_folders() -> tuple[Path, Path]:
    """Return the folders of tritonserver and of its libraries, without importing pytriton, which patches a lot."""
    spec = util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise TritonNotFoundError(
            f"no tritonserver is installed: {_INSTALL}, or name one with --tritonserver, or have one on PATH"
        )
    package = Path(spec.submodule_search_locations[0])
    triton, libraries = package / "tritonserver", package.parent / "nvidia_pytriton.libs"
    if not (triton / "bin" / "tritonserver").is_file() or not libraries.is_dir():
        raise TritonNotFoundError(
            f"the nvidia-pytriton in {package} carries no tritonserver (its binary wheels do): {_INSTALL}"
        )
    return triton, libraries


def _stub(triton: Path) -> Path:
    """Return the program that hosts the Python models; there is one for each minor version of Python."""
    stubs = triton / "python_backend_stubs"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = stubs / version / "triton_python_backend_stub"
    if stub.is_file():
        return stub
    available = ", ".join(sorted((folder.name for folder in stubs.glob("3.*")), key=lambda name: int(name[2:])))
    raise UnsupportedError(f"this is Python {version}; the pip-installed Triton can host models of Python {available}")


def find_libpython(config: Mapping[str, object] | None = None) -> Path:
    """Return the shared library of the running Python, which the stub loads.

    Raises:
        UnsupportedError: this Python was built without a shared library, and none is installed beside it.
    """
    config = sysconfig.get_config_vars() if config is None else config
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    libdir = Path(str(config.get("LIBDIR") or "/usr/lib"))
    folders = [
        libdir,
        libdir / str(config.get("MULTIARCH") or ""),
        Path(str(config.get("prefix") or sys.base_prefix)) / "lib",
        *(Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry),
        *_LIBRARY_FOLDERS,
    ]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    package = name.split(".so")[0]
    raise UnsupportedError(
        f"{name} is missing: Triton hosts Python models in it. Debian and Ubuntu: apt-get install {package}; pyenv: "
        "install Python again with PYTHON_CONFIGURE_OPTS=--enable-shared; the Pythons of uv and conda bring it"
    )


_PROBE = """
import importlib.metadata as metadata, sys
try:
    numpy = metadata.version("numpy")
except metadata.PackageNotFoundError:
    numpy = ""
print(sys.version_info.major, sys.version_info.minor, numpy)
"""


def check_interpreter(python: Path) -> None:
    """Raise UnsupportedError unless the Python that will host the models has our version and numpy 1.

    With numpy 2, every numeric output of a Python model arrives with 0 bytes and without any error, so the server must
    not start.
    """
    try:
        # Isolated (-I) like the stub, so that packages from PYTHONPATH or the user's folder do not count.
        probe = subprocess.run(
            [python, "-I", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        major, minor, *numpy = probe.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise UnsupportedError(f"Triton hosts Python models with {python}, which does not run: {error}") from error
    if (int(major), int(minor)) != sys.version_info[:2]:
        raise UnsupportedError(f"{python} is Python {major}.{minor}, but this is {sys.version.split()[0]}")
    if not numpy:
        raise UnsupportedError(f"numpy is not installed for {python}, which hosts the models: {_INSTALL}")
    if int(numpy[0].split(".")[0]) >= 2:
        raise UnsupportedError(
            f"numpy {numpy[0]} is installed for {python}, but Triton's Python backend needs numpy 1: with numpy 2 it "
            "returns empty tensors without an error. pip install 'numpy<2'"
        )


def _joined(*entries: Path | str | None) -> str:
    return ":".join(str(entry) for entry in entries if entry)
