"""An exported repository, copied to a machine with only the server's packages, serves."""

import os
import shutil
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import steady_ports
from asr_client import Client
from asr_server import TritonServer, installation

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the packages of this one, but none of this project."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python3.*/site-packages")
    # A folder that a .pth file names is searched, but the .pth files in it are not: these are our editable packages.
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python3"


@contextmanager
def triton(repository: Path, python: Path, scratch: Path) -> Iterator[str]:
    """Triton itself, without `triton-asr serve`; its gRPC address."""
    found = installation.find(None, scratch)
    http, grpc, metrics = steady_ports.free(3)
    environment = {**os.environ, **found.environment}
    environment["PATH"] = f"{python.parent}:{environment['PATH']}"
    command = [found.binary, *found.options, f"--model-repository={repository}", "--http-address=127.0.0.1"]
    command += ["--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1"]
    command += [f"--grpc-port={grpc}", f"--http-port={http}", f"--metrics-port={metrics}"]
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield f"127.0.0.1:{grpc}"
        finally:
            process.terminate()
            process.wait(60)


def wait_for(client: Client) -> None:
    until = time.monotonic() + 120
    while not client.model_ready():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_it_serves_without_this_project(
    server: TritonServer, demo_repository: Path, samples: dict[Path, str], bare_python: Path, tmp_path: Path
) -> None:
    probe = [bare_python, "-I", "-c", "import numpy, av, soundfile, soxr\nimport asr_serving"]
    missing = subprocess.run(probe, capture_output=True, text=True, check=False)
    assert missing.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'asr_serving'"
    shutil.copytree(demo_repository, tmp_path / "copied")
    recording = next(path for path in samples if path.name == "quilter.wav")
    with (
        triton(tmp_path / "copied", bare_python, tmp_path) as address,
        Client(address) as copy,
        Client(server.grpc_url) as original,
    ):
        wait_for(copy)
        expected = original.transcribe(recording, word_timestamps=True)
        assert copy.transcribe(recording, word_timestamps=True) == expected
        assert copy.transcribe(recording, vad=True).text == expected.text
