"""How much of the audio the fullest task of a job gets: it ends last, when the others have left the servers to it."""

from collections import Counter
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_bench.contenders import Divide
from spark_bench.recordings import Job

TASKS = 8


def fullest(session: SparkSession, job: Job) -> dict[str, float]:
    """Return the share of the fullest of eight tasks, in shares of the mean, by the way in which rows become tasks."""
    ways: dict[str, Divide] = {
        "repartition": lambda files: files.repartition(TASKS),
        "coalesce": lambda files: files.coalesce(TASKS),
    }
    return {name: round(_fullest(session, job, divide), 2) for name, divide in ways.items()}


def _fullest(session: SparkSession, job: Job, divide: Divide) -> float:
    files = session.read.format("binaryFile").load(str(job.folder)).select("path")
    shares: Counter[int] = Counter()
    for row in divide(files).select("path", F.spark_partition_id().alias("task")).collect():
        shares[row.task] += Path(row.path.removeprefix("file:")).stat().st_size  # WAV: in proportion to its length
    return max(shares.values()) * TASKS / shares.total()
