"""docs/spark.md's commands bring the packages to a cluster: a standalone master and two workers on this machine."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spark_submit
import steady_ports
from asr_server import TritonServer
from spark_service import SAMPLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# pip downloads what goes into the archive.
pytestmark = [pytest.mark.spark, pytest.mark.e2e, pytest.mark.exhaustive]
ROOT = Path(__file__).parents[2]
NAMES = ("quilter.wav", "plain.flac", "memo.mp3")


def environment() -> dict[str, str]:
    import pyspark

    kept = {name: value for name, value in spark_submit.environment().items() if not name.startswith("PYSPARK_")}
    return {**kept, "SPARK_HOME": str(Path(pyspark.__file__).parent), "LC_ALL": "C.UTF-8"}


@contextlib.contextmanager
def daemon(folder: Path, *words: str) -> Iterator[None]:
    """A part of a cluster, which runs in a folder."""
    folder.mkdir()
    spark = Path(environment()["SPARK_HOME"]) / "bin" / "spark-class"
    command = [str(spark), *words, "--host", "127.0.0.1", "--webui-port", "0"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """The address of a master with two workers."""
    port = str(*steady_ports.free())
    address = f"spark://127.0.0.1:{port}"
    with contextlib.ExitStack() as running:
        running.enter_context(daemon(tmp_path / "m", "org.apache.spark.deploy.master.Master", "--port", port))
        for number in (1, 2):  # they wait for the master
            worker = "org.apache.spark.deploy.worker.Worker", address, "--cores", "1", "--memory", "1g"
            folder = tmp_path / f"w{number}"
            running.enter_context(daemon(folder, *worker, "--work-dir", str(folder / "work")))
        yield address


@pytest.mark.timeout(900)
def test_a_venv_archive_on_two_workers(
    session: "SparkSession", server: TritonServer, master: str, tmp_path: Path
) -> None:
    calls, place = tmp_path / "calls", tmp_path / "here"
    calls.mkdir()
    place.mkdir()
    for name in NAMES:
        shutil.copy(SAMPLES / name, calls / f"ü {name}")
    (place / "spark").symlink_to(ROOT / "spark")
    page = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    places = {
        "python3.11": os.path.realpath(sys.executable),
        "install .": f"install --quiet {ROOT}",
        "spark://master:7077": f"{master} --executor-memory 512m",
        "/calls /texts": f"{calls} {tmp_path / 'texts'} --tasks 2",
        "triton:8001": server.grpc_url,
    }
    for written, here in places.items():
        assert written in commands
        commands = commands.replace(written, here)
    done = subprocess.run(["bash", "-ec", commands], cwd=place, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-5_000:]}"

    rows = session.read.parquet(str(tmp_path / "texts")).collect()
    assert {row.path.rpartition("/")[2] for row in rows if row.text} == {f"ü {name}" for name in NAMES}
    assert len(list(tmp_path.glob("w?/work/app-*/*"))) == 2  # an executor on each
    assert list(tmp_path.glob("w?/work/app-*/*/asr-env/bin/python"))
