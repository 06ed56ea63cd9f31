"""One Spark session and one real Triton for the tests of `asr_spark`, and what they transcribe."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spark_submit
from asr_client import Client
from asr_server import TritonServer
from spark_service import SAMPLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Python workers with the packages of this process.
os.environ["PYSPARK_PYTHON"] = sys.executable


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without Java, Spark's tests are skipped; CI must have it."""
    if item.get_closest_marker("spark") and not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Spark needs Java 17 or newer")


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """Spark in a JVM of its own, with two threads for tasks."""
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.memory", "1g").config("spark.sql.shuffle.partitions", "2")
    builder = builder.config("spark.driver.extraJavaOptions", spark_submit.QUICK)
    builder = builder.config("spark.local.dir", str(folder)).config("spark.sql.warehouse.dir", str(folder / "tables"))
    spark = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    yield spark
    spark.stop()


@pytest.fixture(scope="session")
def server(demo_repository: Path) -> Iterator[TritonServer]:
    """A server of its own: with the session's, two workers of pytest-xdist would each start a Spark."""
    with TritonServer(demo_repository, http_port=0, grpc_port=0, metrics_port=0, log=lambda line: None) as running:
        yield running


@pytest.fixture(scope="session")
def texts(server: TritonServer) -> dict[Path, str]:
    """The short samples, and what the client is told of each."""
    files = [SAMPLES / name for name in ("short_stereo.wav", "telephone.wav", "plain.flac", "voice_message.opus")]
    with Client(server.grpc_url) as client:
        return {file: client.transcribe(file).text for file in files}


@pytest.fixture
def calls(texts: dict[Path, str], tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder of 80 files, and the text of each by its name."""
    folder = tmp_path / "calls"
    folder.mkdir()
    told = {}
    for number, (file, text) in enumerate(20 * list(texts.items())):
        name = f"call {number}{file.suffix}"
        shutil.copy(file, folder / name)
        told[name] = text
    return folder, told
