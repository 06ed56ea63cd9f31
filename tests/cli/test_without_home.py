"""Commands under a uid without a home, as OpenShift runs containers."""

import contextlib
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import fake_hub
import installed
import pytest
import without_home
from installed import COMMAND, ROOT

pytestmark = without_home.needed()
SAMPLES = ROOT / "demo" / "samples"
NOTE = "triton-asr: note: there is no home folder that can be written"


@pytest.fixture
def place() -> Iterator[Path]:
    with without_home.place() as folder:
        yield folder


def run(*command: object, place: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = without_home.environment(place) | variables
    return installed.run(*without_home.prefix(), *command, cwd=place, environment=environment)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def serving(repository: Path, place: Path) -> Iterator[str]:
    """Yield the gRPC address of a server."""
    command = [*without_home.prefix(), str(COMMAND), "serve", str(repository)]
    command += ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]
    environment = without_home.environment(place)
    with (
        (place / "log").open("w+") as log,
        subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        ) as server,
    ):
        assert server.stdout is not None
        ready = server.stdout.readline()
        try:
            found = re.search(r"grpc (\S+)", ready)
            assert found, (place / "log").read_text()
            yield found[1]
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(60) == 0


@pytest.mark.e2e
def test_export_serve_transcribe_loadtest(place: Path) -> None:
    done = run(COMMAND, "export", ROOT / "demo" / "checkpoint", "--output", place / "models", place=place)
    assert done.returncode == 0, done.stderr
    with serving(place / "models", place) as url:
        heard = run(COMMAND, "transcribe", SAMPLES / "quilter.wav", "--url", url, "--hotwords", "quilter", place=place)
        asked = ["--rates", 2, "--duration", 1, "--ramp", 0, "--recordings", 2, "--output", place / "report"]
        loaded = run(COMMAND, "loadtest", SAMPLES, "--url", url, *asked, place=place)
    assert "MISTER QUILTER IS THE APOSTLE" in heard.stdout, heard.stderr
    assert "report.html" in names(place / "report"), loaded.stderr
    assert "~" not in names(place)
    assert not list((place / "tmp").glob("*asr-*"))  # torch and onnxruntime leave files of their own


def test_a_download_goes_to_a_temporary_folder(tiny_checkpoint: Callable[[str], Path], place: Path) -> None:
    # Parakeet's features come from librosa, which asks for the cache folder as it is imported.
    with fake_hub.serve("someone/tiny", tiny_checkpoint("parakeet")) as (address, downloaded):
        hub = {"HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
        done = run(COMMAND, "export", "someone/tiny", "--output", place / "models", place=place, **hub)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in downloaded
    assert done.stderr.startswith(NOTE)
    assert names(place) == ["models", "tmp"]
    assert not list((place / "tmp").glob("*asr-*"))  # torch and onnxruntime leave files of their own


def test_a_cache_folder_that_is_named_is_used(place: Path) -> None:
    named = {"XDG_CACHE_HOME": str(place / "cache")}
    done = run(COMMAND, "export", place / "nothing", "--output", place / "models", place=place, **named)
    assert done.returncode == 1
    assert NOTE not in done.stderr


def test_a_home_that_cannot_be_written_is_none(place: Path) -> None:
    done = run(COMMAND, "export", place / "nothing", "--output", place / "models", place=place, HOME="/")
    assert done.returncode == 1
    assert done.stderr.startswith(NOTE)


def test_a_path_below_the_home_is_an_error(place: Path) -> None:
    done = run(COMMAND, "export", "~/checkpoint", "--output", place / "models", place=place)
    assert done.returncode == 1
    assert "~/checkpoint is in a home folder that is not known here: give the full path" in done.stderr
    assert "Traceback" not in done.stderr
