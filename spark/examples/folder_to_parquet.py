"""Transcribe a folder of recordings into a Parquet folder: a row for each file, with words and their times.

    spark-submit folder_to_parquet.py s3a://calls/2026-05/ s3a://texts/2026-05/ --url triton-1:8001 --url triton-2:8001

Columns: path, text, confidence, duration, language, words, error. The exit code is 0, 1 if recordings have failed
(their rows have an error), or 2 if the job has failed or the command is wrong.
"""

import argparse
import sys

from asr_client import AsrError
from asr_spark import TritonSpeechToText
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

SHOWN_ERRORS = 20


def main() -> int:
    """Run the job, and return the exit code."""
    arguments = parse()
    try:
        return transcribe(arguments)
    except (AsrError, Py4JJavaError, PySparkException, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def transcribe(arguments: argparse.Namespace) -> int:
    """Write the rows and the summary; return whether recordings have failed."""
    stt = TritonSpeechToText(
        inputCol="path",
        outputCol="speech",
        urls=arguments.urls,
        model=arguments.model,
        concurrency=arguments.concurrency,
        failAfterS=arguments.fail_after_s,
        word_timestamps=True,
    )
    builder = SparkSession.builder.appName("folder to Parquet").config("spark.ui.showConsoleProgress", "true")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    recordings = paths(spark, arguments.recordings, arguments.glob, arguments.tasks)
    rows = stt.transform(recordings).select("path", "speech.*")
    rows.write.mode("overwrite" if arguments.overwrite else "errorifexists").parquet(arguments.output)
    failed = report(spark.read.parquet(arguments.output))
    print(stt.summary(), file=sys.stderr)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", help="folder, with folders in it, that the executors can read")
    parser.add_argument("output", help="folder for the Parquet files; it must not exist, without --overwrite")
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder")
    parser.add_argument("--url", dest="urls", action="append", required=True, help="HOST:PORT; one for each server")
    parser.add_argument("--model", default="asr")
    parser.add_argument("--glob", default="*", help="of the files' names, such as *.{wav,flac}")
    parser.add_argument("--tasks", type=int, default=32, help="tasks at most; a lost task is done again")
    parser.add_argument("--concurrency", type=int, default=8, help="requests at a time, of each task")
    parser.add_argument("--fail-after-s", type=float, default=60.0, help="seconds without an answer of any server")
    return parser.parse_args()


def paths(spark: SparkSession, folder: str, glob: str, tasks: int) -> DataFrame:
    """Return the paths of a folder's files, for so many tasks with equally many files. It reads none of them."""
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", glob)
    found = files.load(folder).select("path")
    # Not coalesce(): Spark sorts files by size, so the first tasks would get the longest recordings.
    return found.repartition(min(tasks, max(1, found.rdd.getNumPartitions())))


def report(rows: DataFrame) -> int:
    """Print what was written, and the errors; return how many recordings have failed."""
    failed = rows.where("error is not null")
    for row in failed.select("path", "error.*").limit(SHOWN_ERRORS).collect():
        print(f"{row.path}: {row.type}: {row.message}", file=sys.stderr)
    total, failures = rows.agg(F.count("*"), F.count("error")).head() or (0, 0)
    print(f"{total} rows written, {failures} of them with an error", file=sys.stderr)
    return int(failures)


if __name__ == "__main__":
    sys.exit(main())
