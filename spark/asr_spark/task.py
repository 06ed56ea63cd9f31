"""The function of a task, as Spark ships it to executors. It does not import pyspark.ml, which takes long."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark import SparkFiles, TaskContext

from asr_spark import worker
from asr_spark.tally import Tally

Work = Callable[[Iterator[pa.Array]], Iterator[pa.Array]]


def work(settings: worker.Settings, report: Callable[[Tally], None]) -> Work:
    """Return the function, with the type hints from which Spark learns that it takes iterators."""

    def transcribe(columns: Iterator[pa.Array]) -> Iterator[pa.Array]:
        yield from worker.transcribe(columns, settings, report, given_up=_given_up())

    return transcribe


def _given_up() -> Path | None:
    """Return a file that the attempts of a stage share on one executor, in a folder that goes with the application."""
    context = TaskContext.get()
    return None if context is None else Path(SparkFiles.getRootDirectory()) / f".asr-spark-stage-{context.stageId()}"
