"""Compare a Spark job with `Client.transcribe_many`: the same files, the same server, the same number of requests.

    python benchmarks/compare_spark.py REPOSITORY [--parts mixed,small,large] [--rounds 5]

Parts: `mixed` has recordings of 1 to 20 s, `small` 10,000 of half a second, `large` 48 files of 40 MB. Spark runs on
this machine with two tasks of 8 requests, in a JVM with a heap of 1 GB, and goes from the folder to Parquet; the client
has 16 requests. A real Triton serves the demo checkpoint. They take turns in each round, in alternating order.

The figures go to benchmarks/results/spark.json, each part on its own, and into docs/benchmarks-spark.md. The exit
status is 1 if a recording failed or got another text than the client's, or Spark took more than 1.15 times as long as
the client with the mixed recordings.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asr_server import TritonServer
from machine import machine
from places import read_results
from pyspark.sql import SparkSession
from spark_bench.contenders import TASKS, ByClient, BySpark, Contender, as_listed, equal_tasks, neighbours
from spark_bench.page import PARTS, RESULTS, write_page
from spark_bench.recordings import Job, of_all_lengths, of_half_a_second, of_many_megabytes
from spark_bench.shares import fullest
from spark_bench.turns import in_turns

PACKAGES = ("nvidia-pytriton", "onnxruntime", "pyarrow", "pyspark", "tritonclient", "triton-asr-kit")
HEAP = "1g"
WARM_UP_S = 60.0
MOST_TO_CLIENT = 1.15


def main() -> None:
    """Measure, write the figures and the page; exit with 1 if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--parts", type=_parts, default=PARTS, help=f"comma-separated; by default {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=120.0, help="of mixed recordings")
    parser.add_argument("--rows", type=int, default=10_000, help="small recordings")
    parser.add_argument("--large", type=int, default=48, help="large files")
    parser.add_argument("--megabytes", type=float, default=40.0, help="of each large file")
    parser.add_argument("--results", type=Path, default=RESULTS, help="only the default one changes the page")
    arguments = parser.parse_args()
    session = start_spark()
    log: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-spark-") as folder,
        TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server,
    ):
        make: dict[str, Callable[[Path], Job]] = {
            "mixed": lambda folder: of_all_lengths(folder, 60 * arguments.minutes),
            "small": lambda folder: of_half_a_second(folder, arguments.rows),
            "large": lambda folder: of_many_megabytes(folder, arguments.large, arguments.megabytes),
        }
        warm_up = of_all_lengths(Path(folder, "warm-up"), WARM_UP_S)
        found = {
            name: measure(name, session, server.grpc_url, warm_up, make[name](Path(folder, name)), arguments.rounds)
            for name in arguments.parts
        }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    results = {**read_results(arguments.results), **found}
    arguments.results.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    session.stop()
    print(json.dumps(found, indent=2))
    if arguments.results == RESULTS:
        print(write_page(), file=sys.stderr)
    if missed := list(missed_aims(found)):
        sys.exit("\n".join(missed))


def start_spark() -> SparkSession:
    """Start Spark with two threads for tasks, and a JVM with a heap of 1 GB."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{TASKS}]").config("spark.driver.memory", HEAP)
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.ui.enabled", "false")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def measure(part: str, session: SparkSession, url: str, warm_up: Job, job: Job, rounds: int) -> dict[str, Any]:
    """Return the figures of one part."""
    contenders: dict[str, Contender] = {"client": ByClient(url), "spark": BySpark(session, url, equal_tasks)}
    if part == "mixed":
        contenders["spark-coalesce"] = BySpark(session, url, neighbours)
    if part == "small":
        contenders["spark-as-listed"] = BySpark(session, url, as_listed)
    found = in_turns(part, contenders, warm_up, job, rounds)
    if part == "mixed":
        found["fullest"] = fullest(session, job)
    jvm: Any = session.sparkContext._jvm
    about = machine(PACKAGES) | {"java": jvm.java.lang.System.getProperty("java.version")}
    heap_mb = jvm.java.lang.Runtime.getRuntime().maxMemory() // 2**20
    return {"machine": about, "heap_mb": heap_mb, **found}


def missed_aims(found: dict[str, Any]) -> list[str]:
    """Return what is not as it should be."""
    missed = [
        f"{part}: {one['errors']} recordings failed, {one['different']} have another text than the client got"
        for part, one in found.items()
        if one["errors"] or one["different"]
    ]
    if "mixed" in found:
        ratio = found["mixed"]["contenders"]["spark"]["to_client"]["median"]
        if ratio > MOST_TO_CLIENT:
            missed.append(f"mixed: Spark took {ratio:.2f} times as long as the client; the aim is {MOST_TO_CLIENT}")
    return missed


def _parts(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no part; needs some of {','.join(PARTS)}")
    return names


if __name__ == "__main__":
    main()
