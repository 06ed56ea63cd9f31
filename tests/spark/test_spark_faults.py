"""Executors and servers are killed in the middle of a job, and no recording is lost or doubled.

The driver of a stream is killed in test_spark_examples.py.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pyspark
import pytest
import spark_job
import spark_service
from asr_server import TritonServer
from asr_spark import TritonSpeechToText
from spark_service import answered, wait_until

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# All tests of the server are on one worker of pytest-xdist, which starts one Spark.
pytestmark = [pytest.mark.spark, pytest.mark.e2e, pytest.mark.usefixtures("server")]
SCRIPT = spark_job.__file__
SOME = 10  # recordings that are answered before something is killed
FAIL_AFTER_S = 30.0
Calls = tuple[Path, dict[str, str]]


@pytest.fixture(scope="module")
def second(demo_repository: Path) -> Iterator[TritonServer]:
    """A server to kill."""
    with spark_service.serving(demo_repository) as running:
        yield running


def job(folder: Path, **fields: object) -> "subprocess.Popen[bytes]":
    """A driver in a process of its own.

    A cluster on one machine writes its logs beside the installed Spark, so the folder has links to all that it needs.
    """
    home = folder / "spark"
    home.mkdir()
    for part in ("bin", "jars"):
        (home / part).symlink_to(Path(pyspark.__file__).parent / part)
    environment = os.environ | {"SPARK_HOME": str(home)}
    return subprocess.Popen([sys.executable, SCRIPT, json.dumps(fields)], stdout=subprocess.PIPE, env=environment)


def processes(driver: "subprocess.Popen[bytes]", word: str) -> list[psutil.Process]:
    """The processes under a driver whose command has this word."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            if any(word in part for part in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def read(rows: list[dict[str, object]]) -> dict[str, object]:
    """The texts by file name; each path is there once, and none failed."""
    assert [row.get("error") for row in rows] == [None] * len(rows)
    texts = {str(row["path"]).rpartition("/")[2]: row["text"] for row in rows}
    assert len(texts) == len(rows)
    return texts


def files(session: "SparkSession", calls: Calls) -> "DataFrame":
    return session.read.format("binaryFile").load(str(calls[0])).select("path").repartition(2)


def transcribe(session: "SparkSession", calls: Calls, **params: object) -> dict[str, object]:
    stt = TritonSpeechToText(inputCol="path", outputCol="speech", **params)
    rows = stt.transform(files(session, calls)).select("path", "speech.text", "speech.error").collect()
    return read([row.asDict() for row in rows])


@pytest.fixture
def pipeline(session: "SparkSession", server: TritonServer, tmp_path: Path) -> str:
    """The folder of a saved pipeline."""
    from pyspark.ml import PipelineModel

    stt = TritonSpeechToText(inputCol="path", outputCol="speech", urls=[server.grpc_url], concurrency=2)
    PipelineModel([stt]).save(str(tmp_path / "pipeline"))
    return str(tmp_path / "pipeline")


def test_a_killed_executor(server: TritonServer, calls: Calls, pipeline: str, tmp_path: Path) -> None:
    folder, told = calls
    output, before = tmp_path / "out", answered(server)
    cluster = "local-cluster[2,1,1024]"
    with job(tmp_path, master=cluster, pipeline=pipeline, input=str(folder), output=str(output)) as driver:
        wait_until(lambda: answered(server) - before >= SOME)
        processes(driver, "CoarseGrainedExecutorBackend")[0].send_signal(signal.SIGKILL)
        assert not (output / "_SUCCESS").exists(), "the job had ended before"
        summary, _ = driver.communicate(timeout=240)
    assert driver.returncode == 0
    assert b" rows (0 without a recording), " in summary
    rows = [json.loads(line) for part in output.glob("part-*") for line in part.read_text("utf-8").splitlines()]
    assert read(rows) == told


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ["127.0.0.1:9", "192.0.2.1:8001"])
def test_a_cluster_waits_once_for_a_wrong_address(
    session: "SparkSession", url: str, calls: Calls, tmp_path: Path
) -> None:
    """Nobody listens at the first one; the second one does not even say that."""
    from pyspark.ml import PipelineModel

    stt = TritonSpeechToText(inputCol="path", outputCol="speech", urls=[url], failAfterS=FAIL_AFTER_S)
    PipelineModel([stt]).save(str(tmp_path / "pipeline"))
    fields = {"pipeline": str(tmp_path / "pipeline"), "input": str(calls[0]), "output": str(tmp_path / "out")}
    with job(tmp_path, master="local-cluster[2,1,1024]", **fields) as driver:
        told, _ = driver.communicate(timeout=240)
    seconds, _, message = told.decode().partition("\n")
    assert driver.returncode == 1
    assert re.search(f"after earlier attempts that gave up .* at model 'asr' at {url}: ", message)
    assert FAIL_AFTER_S < float(seconds) < 2 * FAIL_AFTER_S


def test_one_of_two_servers_is_killed(
    session: "SparkSession", server: TritonServer, second: TritonServer, calls: Calls
) -> None:
    def strike() -> None:
        wait_until(lambda: answered(second) >= SOME)
        spark_service.kill(second)

    thread = threading.Thread(target=strike)
    thread.start()
    urls = [server.grpc_url, second.grpc_url]
    try:
        assert transcribe(session, calls, urls=urls, concurrency=2) == calls[1]
    finally:
        thread.join(240)
        second.start()


def test_the_only_server_is_killed_and_starts_again(
    session: "SparkSession", second: TritonServer, calls: Calls
) -> None:
    def strike() -> None:
        wait_until(lambda: answered(second) >= SOME)
        spark_service.kill(second)
        second.start()

    thread = threading.Thread(target=strike)
    thread.start()
    # Far less than the server's start takes: the rows outlive their own deadline.
    assert transcribe(session, calls, urls=[second.grpc_url], concurrency=2, timeoutS=3.0, failAfterS=200.0) == calls[1]
    thread.join(240)
