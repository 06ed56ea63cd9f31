"""The function of a task, as Spark ships it to executors. It does not import pyspark.ml, which takes long."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
from pyspark import TaskContext

from asr_spark import worker
from asr_spark.attempts import FIRST, Attempt
from asr_spark.tally import Tally

Work = Callable[[Iterator[pa.Array]], Iterator[pa.Array]]


def work(settings: worker.Settings, report: Callable[[Tally], None]) -> Work:
    """Return the function, with the type hints from which Spark learns that it takes iterators."""

    def transcribe(columns: Iterator[pa.Array]) -> Iterator[pa.Array]:
        yield from worker.transcribe(columns, settings, report, attempt=_attempt(settings))

    return transcribe


def _attempt(settings: worker.Settings) -> Attempt:
    """Return which attempt of its task this is. All executors of a machine share the note of a stage."""
    context = TaskContext.get()
    if context is None:
        return FIRST
    note = Path(tempfile.gettempdir()) / f"triton-asr-spark-{settings.job}-{context.stageId()}"
    return Attempt(context.attemptNumber(), note)
