"""Transcribe recordings as they arrive in a folder, each once, into a Parquet folder.

    spark-submit arriving_files.py s3a://calls/inbox/ s3a://texts/inbox/ --checkpoint s3a://texts/inbox.checkpoint/ \\
        --url triton-1:8001

It may be killed at any time. Started again with the same checkpoint, it goes on, and each path has one row in the
output. Move files into the folder when they are complete: what is there is taken to be whole. A path that was
transcribed is not transcribed again when its file changes.

Columns: path, text, confidence, duration, language, words, error. With --once it transcribes what has arrived, and
ends. The exit code is 0, 1 if recordings have failed (their rows have an error), or 2 if the job has failed or the
command is wrong.
"""

import argparse
import sys

from asr_client import AsrError
from asr_spark import TritonSpeechToText
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

# binaryFile's own columns, which a stream must be told.
SCHEMA = "path string, modificationTime timestamp, length long, content binary"
# By default, Spark leaves out files that are older than the newest one by more than a week, without a word.
FOR_EVER = "36500d"
LOOK_S = 2


def main() -> int:
    """Run the query, and return the exit code."""
    arguments = parse()
    try:
        return transcribe(arguments)
    except (AsrError, Py4JJavaError, PySparkException, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def transcribe(arguments: argparse.Namespace) -> int:
    """Write the rows until the query ends, then the summary; return whether recordings have failed."""
    stt = TritonSpeechToText(
        inputCol="path",
        outputCol="speech",
        urls=arguments.urls,
        model=arguments.model,
        concurrency=arguments.concurrency,
        failAfterS=arguments.fail_after_s,
        word_timestamps=True,
    )
    spark = SparkSession.builder.appName("arriving files").getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    rows = stt.transform(arriving(spark, arguments)).select("path", "speech.*")
    writer = rows.writeStream.format("parquet").option("checkpointLocation", arguments.checkpoint)
    if arguments.once:
        writer = writer.trigger(availableNow=True)
    else:
        writer = writer.trigger(processingTime=f"{arguments.every_s} seconds")
    follow(writer.start(arguments.output), stt)
    summary = stt.summary()
    print(f"in this run {summary}", file=sys.stderr)
    return 1 if summary.errors else 0


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", help="folder that the executors can read")
    parser.add_argument("output", help="folder for the Parquet files")
    parser.add_argument("--checkpoint", required=True, help="folder in which Spark notes what is done")
    parser.add_argument("--url", dest="urls", action="append", required=True, help="HOST:PORT; one for each server")
    parser.add_argument("--model", default="asr")
    parser.add_argument("--glob", default="*", help="of the files' names, such as *.{wav,flac}")
    parser.add_argument("--once", action="store_true", help="transcribe what has arrived, and end")
    parser.add_argument("--every-s", type=int, default=10, help="seconds between two looks into the folder")
    parser.add_argument("--files", type=int, default=1_000, help="at most, of a batch; a killed batch starts again")
    parser.add_argument("--tasks", type=int, default=8, help="tasks of a batch")
    parser.add_argument("--concurrency", type=int, default=8, help="requests at a time, of each task")
    parser.add_argument("--fail-after-s", type=float, default=60.0, help="seconds without an answer of any server")
    return parser.parse_args()


def arriving(spark: SparkSession, arguments: argparse.Namespace) -> DataFrame:
    """Return the paths of the files that arrive, as a stream. It reads none of them."""
    files = spark.readStream.format("binaryFile").schema(SCHEMA).option("maxFileAge", FOR_EVER)
    files = files.option("pathGlobFilter", arguments.glob).option("maxFilesPerTrigger", arguments.files)
    return files.load(arguments.recordings).select("path").repartition(arguments.tasks)


def follow(query: StreamingQuery, stt: TritonSpeechToText) -> None:
    """Print a line for each batch, with the summary until now, until the query ends.

    Raises:
        StreamingQueryException: it has failed.
    """
    latest = -1
    ended = False
    while not ended:
        ended = bool(query.awaitTermination(LOOK_S))
        for progress in query.recentProgress:
            if progress["batchId"] > latest and progress["numInputRows"]:
                latest = progress["batchId"]
                line = f"batch {latest}: {progress['numInputRows']} recordings; until now {stt.summary()}"
                print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
