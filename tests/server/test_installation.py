"""Finding a tritonserver, and refusing what cannot work before anything starts."""

import sys
from pathlib import Path

import pytest
from asr_server import TritonNotFoundError, UnsupportedError, backend_folder, installation

GLIBC = ("glibc", (2, 36))


def fake_python(folder: Path, output: str) -> Path:
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\necho '{output}'\n")
    python.chmod(0o755)
    return python


@pytest.mark.parametrize(
    ("system", "machine", "libc", "message"),
    [
        ("darwin", "arm64", ("", ()), "this is darwin on arm64; elsewhere run the Triton container image"),
        ("linux", "aarch64", GLIBC, "this is linux on aarch64"),
        ("linux", "x86_64", ("glibc", (2, 31)), "this one has glibc 2.31"),
        ("linux", "x86_64", ("", ()), "another C library"),
    ],
)
def test_unsupported_platforms(system: str, machine: str, libc: tuple[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        installation.check_platform(system, machine, libc)


def test_the_supported_platform() -> None:
    installation.check_platform("linux", "x86_64", GLIBC)


def version(numpy: str) -> str:
    return f"{sys.version_info.major} {sys.version_info.minor} {numpy}"


def test_numpy_1_is_accepted(tmp_path: Path) -> None:
    installation.check_interpreter(fake_python(tmp_path, version("1.26.4")))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (version("2.1.0"), r"numpy 2.1.0 is installed for .*python3.*empty tensors without an error.*'numpy<2'"),
        (version(""), "numpy is not installed for"),
        ("3 8 1.26.4", "is Python 3.8, but this is"),
        ("", "which does not run"),
    ],
)
def test_interpreters_that_cannot_host_models(tmp_path: Path, output: str, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        installation.check_interpreter(fake_python(tmp_path, output))


def test_an_interpreter_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="which does not run"):
        installation.check_interpreter(tmp_path / "python3")


def test_this_interpreter_hosts_models() -> None:
    installation.check_interpreter(Path(sys.executable).parent / "python3")


def test_libpython_is_found_where_python_was_built_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    (tmp_path / "multiarch").mkdir()
    (tmp_path / "multiarch" / name).touch()
    config = {"LIBDIR": str(tmp_path), "MULTIARCH": "multiarch"}
    assert installation.find_libpython(config) == tmp_path / "multiarch" / name


def test_a_missing_libpython_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_LIBRARY_FOLDERS", ())
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    package = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(UnsupportedError, match=rf"{package}.so.1.0 is missing.*apt-get install {package};"):
        installation.find_libpython({"LIBDIR": str(tmp_path), "prefix": str(tmp_path)})


def test_a_given_tritonserver_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TritonNotFoundError, match=f"no tritonserver at {tmp_path}/none; leave --tritonserver out"):
        installation.find(tmp_path / "none", tmp_path)


def test_a_given_tritonserver_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TritonNotFoundError, match=f"is a folder.*{tmp_path}/tritonserver"):
        installation.find(tmp_path, tmp_path)


def test_a_given_tritonserver_that_is_not_executable(tmp_path: Path) -> None:
    (tmp_path / "tritonserver").touch(mode=0o644)
    with pytest.raises(TritonNotFoundError, match="is not executable"):
        installation.find(tmp_path / "tritonserver", tmp_path)


def test_a_tritonserver_on_path_comes_before_the_one_from_pip(
    fake_tritonserver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake_tritonserver.parent), prepend=":")
    assert installation.find(None, tmp_path) == installation.Installation(fake_tritonserver)


def test_without_pytriton_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(installation.util, "find_spec", lambda name: None)
    with pytest.raises(TritonNotFoundError, match=r"pip install 'triton-asr-kit\[server\]'"):
        installation.find(None, tmp_path)


def test_the_pip_installed_one_gets_our_python_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin")
    found = installation.find(None, tmp_path)
    assert found.binary.parts[-4:] == ("pytriton", "tritonserver", "bin", "tritonserver")
    assert found.environment["PATH"].split(":") == [str(Path(sys.executable).parent), "/usr/bin"]
    assert str(found.options[0]).startswith(f"--backend-directory={tmp_path}/cache/")


def test_without_bash_no_model_can_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnsupportedError, match="bash is missing"):
        installation.find(None, tmp_path)


def test_a_python_without_stub(tmp_path: Path) -> None:
    (tmp_path / "python_backend_stubs" / "3.8").mkdir(parents=True)
    (tmp_path / "python_backend_stubs" / "3.13").mkdir()
    with pytest.raises(UnsupportedError, match=r"can host models of Python 3.8, 3.13$"):
        installation._stub(tmp_path)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """Stand-ins for the files of nvidia-pytriton."""
    package = tmp_path / "package"
    stub = package / "3.11" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.write_text("stub")
    stub.chmod(0o755)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (package / name).write_text(name)
    return {"python_backend": package, "stub": stub}


def test_the_backend_folder_is_made_once(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = backend_folder.prepare(**sources, scratch=tmp_path)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        "onnxruntime/asr_contract/__init__.py",
        "onnxruntime/asr_contract/gpu.py",
        "onnxruntime/model.py",
        "onnxruntime/onnx_batch.py",
        "onnxruntime/onnx_cuda.py",
        "onnxruntime/onnx_device.py",
        "onnxruntime/onnx_runs.py",
        "python/libtriton_python.so",
        "python/triton_python_backend_stub",
        "python/triton_python_backend_utils.py",
    ]
    before = (folder / "python").stat().st_mtime_ns, folder.stat().st_ino
    assert backend_folder.prepare(**sources, scratch=tmp_path) == folder
    assert ((folder / "python").stat().st_mtime_ns, folder.stat().st_ino) == before
    assert list(folder.parent.iterdir()) == [folder]


def test_an_incomplete_backend_folder_is_made_again(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = backend_folder.prepare(**sources, scratch=tmp_path)
    (folder / "onnxruntime" / "model.py").unlink()
    (folder / "python" / "triton_python_backend_stub").chmod(0o644)
    assert backend_folder.prepare(**sources, scratch=tmp_path) == folder
    assert (folder / "onnxruntime" / "model.py").is_file()


def test_other_contents_get_another_backend_folder(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = backend_folder.prepare(**sources, scratch=tmp_path)
    (sources["python_backend"] / "libtriton_python.so").write_text("patched")
    assert backend_folder.prepare(**sources, scratch=tmp_path) != first


def test_a_process_that_was_faster_wins(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = backend_folder.prepare(**sources, scratch=tmp_path)
    files = backend_folder._sources(**sources)
    monkeypatch.setattr(Path, "exists", lambda self: False)  # as it was when the slower one looked
    backend_folder._make(folder, files)
    assert backend_folder._is_complete(folder, files)


def test_without_a_cache_folder_a_scratch_folder_serves(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    scratch = tmp_path / "scratch"
    assert backend_folder.prepare(**sources, scratch=scratch).parent == scratch
    with pytest.raises(OSError, match="can hold Triton's backends"):
        backend_folder.prepare(**sources, scratch=tmp_path / "file")
