"""What docs/spark.md shows runs, as it stands there."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spark_submit
from asr_server import TritonServer
from spark_service import SAMPLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.e2e]
PAGE = (Path(__file__).parents[2] / "docs" / "spark.md").read_text(encoding="utf-8")
DEFAULT_URL = "127.0.0.1:8001"


def run(block: int, server: TritonServer, folder: Path) -> None:
    """Run one of the page's blocks of Python, with this server, and with paths that do not depend on where Spark is."""
    code = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[block]
    assert DEFAULT_URL in code
    places = {DEFAULT_URL: server.grpc_url, "demo/samples": str(SAMPLES), "build/": f"{folder}/"}
    for written, here in places.items():
        code = code.replace(written, here)
    exec(compile(code, "spark.md", "exec"), {})


def test_every_block_is_run() -> None:
    assert PAGE.count("```python") == 2
    assert PAGE.count("```bash") == 1  # by test_spark_cluster.py


def test_quick_start(
    session: "SparkSession", server: TritonServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(0, server, tmp_path)
    printed = capsys.readouterr().out
    assert re.match(r"6 rows \(0 without a recording\), .* errors: none", printed)
    assert re.search(r"^\|file:.*\| +\w+\|0\.\d+\|", printed, re.MULTILINE)
    assert {row.path.rpartition("/")[2] for row in session.read.parquet(str(tmp_path / "texts")).collect()} == {
        file.name for file in SAMPLES.glob("*.wav")
    }


def test_a_saved_pipeline(
    session: "SparkSession", server: TritonServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(1, server, tmp_path)
    assert re.search(r"^\| +\| +1\.0\|$", capsys.readouterr().out, re.MULTILINE)  # a second, in which nobody speaks


def test_every_param_is_there(session: "SparkSession") -> None:
    from asr_spark import TritonSpeechToText

    section = PAGE.partition("## Params")[2].partition("\n## ")[0]
    assert {param.name for param in TritonSpeechToText().params} <= set(re.findall(r"`(\w+)`", section))


def test_every_script_is_there() -> None:
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\.\./spark/examples/\1\)", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(script.name for script in spark_submit.EXAMPLES.glob("*.py"))
