"""The parts of benchmarks/compare_spark.py in short: each recording once, with the text that the client got."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from asr_server import TritonServer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# The files of benchmarks/ are scripts and their neighbours, not a package.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

pytestmark = [pytest.mark.spark, pytest.mark.e2e]


@pytest.mark.parametrize(("part", "number"), [("mixed", 6), ("small", 60), ("large", 4)])
def test_part(session: "SparkSession", server: TritonServer, tmp_path: Path, part: str, number: int) -> None:
    import compare_spark
    from spark_bench import recordings

    make: dict[str, Callable[[Path], recordings.Job]] = {
        "mixed": lambda folder: recordings.of_all_lengths(folder, 40),
        "small": lambda folder: recordings.of_half_a_second(folder, number),
        "large": lambda folder: recordings.of_many_megabytes(folder, number, 25.0),  # more than the model takes at once
    }
    warm_up = recordings.of_half_a_second(tmp_path / "warm-up", 2)
    found = compare_spark.measure(part, session, server.grpc_url, warm_up, make[part](tmp_path / part), rounds=1)
    assert found["recordings"] == number
    assert (found["errors"], found["different"]) == (0, 0)
    assert 900 < found["heap_mb"] <= 1024  # as the JVM counts; a collector may leave a part out
    assert ("fullest" in found) == (part == "mixed")
    assert set(found["most_mb"]) == {"JVM", "Python workers"}
    assert found["contenders"]["client"]["to_client"] == {"median": 1, "min": 1, "max": 1}
    assert all(one["cpu_ms"] > 0 and one["seconds"]["min"] > 0 for one in found["contenders"].values())
