"""docs/benchmarks-spark.md has the figures that were measured, and the figures are what they say."""

from pathlib import Path
from typing import Any

import compare_spark
import pytest
from places import read_results
from spark_bench import turns
from spark_bench.contenders import Heard
from spark_bench.page import PAGE, RESULTS, page
from spark_bench.recordings import Job

MACHINE = {"cpu": "a processor", "cores": 2, "python": "3.11", "java": "17.0.1", "versions": {"pyspark": "4.3.0"}}


def heard(seconds: float, cpu_s: float) -> Heard:
    return Heard(seconds, cpu_s, {"1.wav": "one", "2.wav": "two"})


def part(spark_s: tuple[float, float] = (11.0, 30.0), **changed: Any) -> dict[str, Any]:
    measured = {
        "client": [heard(10, 0.002), heard(20, 0.002)],
        "spark": [heard(spark_s[0], 0.01), heard(spark_s[1], 0.01)],
    }
    return {
        "machine": MACHINE,
        "heap_mb": 1024,
        "recordings": 2,
        "audio_s": 8.0,
        "file_mb": 40.0,
        "rounds": 2,
        "errors": 0,
        "different": 0,
        "most_mb": {"JVM": 431, "Python workers": 346},
        "contenders": turns.figures(measured),
        **changed,
    }


def test_the_page_has_the_figures_of_the_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text, read_results(RESULTS)) == text


def test_the_page_says_what_was_measured() -> None:
    shares = {"repartition": 1.04, "coalesce": 2.21}
    text = page(PAGE.read_text(encoding="utf-8"), {"large": part(), "mixed": part(fullest=shares)})
    assert "1.04 times the mean of the audio by `repartition`, 2.21 times by `coalesce`." in text
    assert "2 files of 40 MB, 8 s in all; 2 rounds." in text
    assert "| Spark, `repartition(2)` | 20.5 | 11.0 to 30.0 | 1.30 | 1.10 to 1.50 | 5.0 |" in text
    assert "Most memory of a process: 431 MB (the JVM), 346 MB (a Python worker)." in text
    assert text.count("In each round all recordings got the text that the client got in the first one.") == 2
    assert "- large: a processor, 2 cores; Python 3.11, Java 17.0.1, pyspark 4.3.0." in text
    assert text.count("Not measured yet.") == 1


def test_the_page_does_not_hide_failures() -> None:
    text = page(PAGE.read_text(encoding="utf-8"), {"small": part(errors=3, different=4)})
    assert "In the worst round 3 recordings failed, and 4 had another text than the client got." in text


def test_aims() -> None:
    assert compare_spark.missed_aims({"mixed": part(spark_s=(11, 22)), "large": part()}) == []
    assert "1.30 times as long" in compare_spark.missed_aims({"mixed": part()})[0]
    assert "1 recordings failed" in compare_spark.missed_aims({"large": part(errors=1)})[0]


def test_texts_that_differ_are_counted() -> None:
    class Fake:
        def __init__(self, text: str) -> None:
            self.text = text

        def hear(self, job: object) -> Heard:
            return Heard(1.0, 1.0, {"1.wav": self.text})

    job = Job(Path(), (Path(__file__),), 1.0)
    found = turns.in_turns("any", {"client": Fake("one"), "spark": Fake("error: two")}, job, job, 2)
    assert (found["errors"], found["different"]) == (1, 1)
    assert found["contenders"]["spark"]["to_client"]["median"] == pytest.approx(1.0)
