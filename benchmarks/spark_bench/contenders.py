"""Who transcribes a folder: the client alone, and Spark with `TritonSpeechToText`, with equally many requests."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from asr_client import Client
from asr_spark import TritonSpeechToText
from pyspark.sql import DataFrame, SparkSession

from spark_bench.recordings import Job

TASKS, CONCURRENCY = 2, 8
TIMEOUT_S = 600.0
Divide = Callable[[DataFrame], DataFrame]


@dataclass(frozen=True)
class Heard:
    """What came of a folder."""

    seconds: float
    cpu_s: float  # of the caller's processes, without the server
    texts: dict[str, str]  # by the file's name; of a recording that failed, its error


class Contender(Protocol):
    """Transcribes the recordings of a folder."""

    def hear(self, job: Job) -> Heard:
        """Transcribe all, and measure it."""
        ...


class ByClient:
    """`Client.transcribe_many` in this process."""

    def __init__(self, url: str) -> None:
        self._url = url

    def hear(self, job: Job) -> Heard:
        """Transcribe all, and measure it."""
        with Client(self._url, timeout_s=TIMEOUT_S) as client:
            begin, before_s = time.perf_counter(), time.process_time()
            outcomes = client.transcribe_many(job.files, concurrency=TASKS * CONCURRENCY)
            seconds, cpu_s = time.perf_counter() - begin, time.process_time() - before_s
        texts = {
            file.name: outcome.transcription.text if outcome.transcription else f"error: {outcome.error}"
            for file, outcome in zip(job.files, outcomes, strict=True)
        }
        return Heard(seconds, cpu_s, texts)


class BySpark:
    """A job from the folder to Parquet, as `spark/examples/folder_to_parquet.py` does it, in a running session.

    Args:
        session: with two threads for tasks.
        url: of the server.
        divide: how the rows become tasks.
    """

    def __init__(self, session: SparkSession, url: str, divide: Divide) -> None:
        self._session = session
        self._divide = divide
        self._stt = TritonSpeechToText(
            inputCol="path", outputCol="speech", urls=[url], concurrency=CONCURRENCY, timeoutS=TIMEOUT_S
        )

    def hear(self, job: Job) -> Heard:
        """Transcribe all, and measure it; the listing of the folder and the writing count, too."""
        output = tempfile.mkdtemp(prefix="bench-spark-")
        try:
            begin, before_s = time.perf_counter(), cpu_s()
            files = self._session.read.format("binaryFile").load(str(job.folder)).select("path")
            rows = self._stt.transform(self._divide(files)).select("path", "speech.*")
            rows.write.mode("overwrite").parquet(output)
            seconds, used_s = time.perf_counter() - begin, cpu_s() - before_s
            written = self._session.read.parquet(output).select("path", "text", "error.message").collect()
        finally:
            shutil.rmtree(output)
        texts = {Path(row.path).name: row.text if row.message is None else f"error: {row.message}" for row in written}
        if len(texts) != len(written):
            raise RuntimeError(f"Spark wrote {len(written)} rows for {len(texts)} files; needs one for each")
        return Heard(seconds, used_s, texts)


def equal_tasks(files: DataFrame) -> DataFrame:
    """Return the rows in two tasks with equally many of them."""
    return files.repartition(TASKS)


def neighbours(files: DataFrame) -> DataFrame:
    """Return the rows in two tasks, in the order in which Spark lists them: by size."""
    return files.coalesce(TASKS)


def as_listed(files: DataFrame) -> DataFrame:
    """Return the rows in as many tasks as Spark makes."""
    return files


def processes() -> Iterator[tuple[str, psutil.Process]]:
    """Yield the processes of Spark, each with its kind: the driver's JVM, and Python workers with what starts them."""
    for child in psutil.Process().children():
        if child.name() == "java":
            yield "JVM", child
            # A child that is still to become another program is a copy of the JVM, under the name of a thread.
            yield from (("Python workers", one) for one in child.children(recursive=True) if _is_python(one))


def _is_python(process: psutil.Process) -> bool:
    try:
        name: str = process.name()
    except psutil.NoSuchProcess:
        return False
    return name.startswith("python")


def cpu_s() -> float:
    """Return the processor time that the driver, the JVM and the Python workers have used."""
    used_s = time.process_time()
    for _, process in processes():
        try:
            used_s += sum(process.cpu_times()[:4])  # also of children that have ended
        except psutil.NoSuchProcess:
            continue
    return used_s
