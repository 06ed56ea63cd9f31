"""Transcribe the recordings of a manifest, and measure the word and character error rate.

    spark-submit word_error_rate.py /data/test-clean.tsv --url triton-1:8001 --output /data/scored

The manifest is the one of `triton-asr evaluate`: TSV with the header audio<TAB>text, or JSON lines with these keys.
Its paths are relative to it, and the executors must be able to read them. The executors need the extra `evaluate`.

Columns of --output: path, reference, text, confidence, duration, error, and the score of a recording. The exit code is
0, 1 if recordings have failed (they are left out of the rates), or 2 if the job has failed or the command is wrong.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from asr_client import AsrError
from asr_contract import manifest, word_errors
from asr_spark import TritonSpeechToText
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

COUNTS = ("word_errors", "words", "character_errors", "characters")
SCORE = f"struct<{', '.join(f'{name}: int' for name in COUNTS)}>"


def main() -> int:
    """Run the job, and return the exit code."""
    arguments = parse()
    try:
        return evaluate(arguments)
    except (AsrError, Py4JJavaError, PySparkException, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def evaluate(arguments: argparse.Namespace) -> int:
    """Transcribe, score and report; return whether recordings have failed."""
    entries = manifest.read(arguments.manifest)
    stt = TritonSpeechToText(
        inputCol="path",
        outputCol="speech",
        urls=arguments.urls,
        model=arguments.model,
        concurrency=arguments.concurrency,
        failAfterS=arguments.fail_after_s,
    )
    builder = SparkSession.builder.appName("word error rate").config("spark.ui.showConsoleProgress", "true")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("WARN")
    said = spark.createDataFrame(
        [(str(entry.path.absolute()), entry.text) for entry in entries], "path string, reference string"
    )
    scored = with_score(stt.transform(said.repartition(min(arguments.tasks, len(entries)))))
    # The rows are used more than once, and recordings are to be sent once.
    if arguments.output is None:
        scored.persist()
    else:
        scored.write.parquet(arguments.output)
        scored = spark.read.parquet(arguments.output)
    failed = report(scored, arguments.worst)
    print(stt.summary(), file=sys.stderr)
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--output", help="folder for the texts and scores (Parquet); it must not exist")
    parser.add_argument("--worst", type=int, default=5, metavar="N", help="show the N worst transcripts")
    parser.add_argument("--url", dest="urls", action="append", required=True, help="HOST:PORT; one for each server")
    parser.add_argument("--model", default="asr")
    parser.add_argument("--tasks", type=int, default=32)
    parser.add_argument("--concurrency", type=int, default=8, help="requests at a time, of each task")
    parser.add_argument("--fail-after-s", type=float, default=60.0, help="seconds without an answer of any server")
    return parser.parse_args()


def score(reference: str, text: str | None) -> dict[str, int] | None:
    """Return the errors of a transcript, without regard to case and punctuation."""
    if text is None:
        return None
    return asdict(word_errors.score(word_errors.normalize(reference), word_errors.normalize(text)))


def with_score(rows: DataFrame) -> DataFrame:
    """Return path, reference, text, confidence, duration, error and score of each recording."""
    speech = [f"speech.{name}" for name in ("text", "confidence", "duration", "error")]
    scored = F.udf(score, SCORE, useArrow=False)
    return rows.select("path", "reference", *speech).withColumn("score", scored("reference", "text"))


def report(rows: DataFrame, worst: int) -> int:
    """Print the errors, the worst transcripts and the rates; return how many recordings have failed."""
    failed = rows.where("error is not null").select("path", "error.*").collect()
    for row in failed:
        print(f"{row.path}: {row.type}: {row.message}", file=sys.stderr)
    wrong = rows.where("score.word_errors > 0").withColumn("rate", F.expr("try_divide(score.word_errors, score.words)"))
    for row in wrong.orderBy(F.desc_nulls_first("rate"), F.desc("score.word_errors")).limit(worst).collect():
        print(f"{row.path}\n    reference   {row.reference}\n    transcript  {row.text}")
    (sums,) = rows.agg(*(F.sum(f"score.{name}").alias(name) for name in COUNTS)).collect()
    total = word_errors.Score(**{name: sums[name] or 0 for name in COUNTS})
    if total.wer is not None and total.cer is not None:
        print(f"CER {100 * total.cer:.1f} %")
        print(f"total WER {100 * total.wer:.1f} %  ({total.words} words, {len(failed)} recordings failed)")
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
