"""Remote files in a real S3 server, as a worker reads them."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
import steady_ports
from asr_client import Client, Transcription
from asr_client.testing import MockTransport
from asr_spark import sources
from asr_spark.worker import Settings, transcribe

pytestmark = pytest.mark.e2e
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
NAMES = ["a.wav", "a b.wav", "ü#x.wav", "100%.wav", "a%20c.wav", "q?.wav", "p+q.wav", "2024::06.wav"]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SeaweedFS; the address of its S3 service, which lets everybody in."""
    folder = tmp_path_factory.mktemp("s3")
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    ports = dict(zip((*names, "s3.port", "s3.port.grpc"), steady_ports.free(8), strict=True))
    options = [f"-{name}={port}" for name, port in ports.items()]
    options += ["-master.telemetry=false", "-volume.max=5", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0"]
    command = [str(Path(sys.executable).with_name("weed")), f"-logdir={folder}", "server", f"-dir={folder}"]
    command += ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", *options]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{ports['s3.port']}"
            wait_for(url, process)
            yield url
        finally:
            process.kill()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the S3 server has ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the S3 server does not start")


@pytest.fixture(autouse=True)
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of an executor, and files whose content is their name."""
    import s3fs

    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    files = s3fs.S3FileSystem()
    if not files.exists("calls"):
        files.mkdir("calls")
        for name in NAMES:
            files.pipe_file(f"calls/{name}", name.encode())


def told(*paths: str) -> list[str]:
    """The texts of the paths, which are their content; or their errors."""
    transport = MockTransport(lambda request: Transcription(request.audio.decode(), 0.5, 1.0))
    arrays = transcribe([pa.array(paths)], Settings(urls=("a:1",)), connect=lambda _: Client(transport=transport))
    return [row["text"] or f"{row['error']['type']}: {row['error']['message']}" for row in next(arrays).to_pylist()]


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
def test_every_name_by_every_scheme(scheme: str) -> None:
    assert told(*[f"{scheme}://calls/{name}" for name in NAMES]) == NAMES


def test_names_that_are_percent_encoded() -> None:
    assert told(*[f"s3a://calls/{quote(name)}" for name in NAMES]) == NAMES


def test_a_large_file_goes_through_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources, "LARGEST_IN_MEMORY", 3)
    monkeypatch.setattr(sources.tempfile, "tempdir", str(tmp_path))
    assert told("s3a://calls/a b.wav") == ["a b.wav"]
    assert not list(tmp_path.iterdir())


def test_what_is_not_there() -> None:
    file, bucket = told("s3a://calls/gone.wav", "s3a://nobody/a.wav")
    assert file == "InvalidAudio: cannot read s3a://calls/gone.wav: no such file"
    assert bucket.startswith("InvalidAudio: cannot read s3a://nobody/a.wav: ")


def test_a_folder_is_no_recording() -> None:
    assert told("s3a://calls/")[0].startswith("InvalidAudio: cannot read s3a://calls/: ")
