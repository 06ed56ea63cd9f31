"""What docs/spark.md and the README show runs, as it stands there."""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spark_submit
from asr_server import TritonServer
from asr_spark import TritonSpeechToText
from spark_service import SAMPLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.e2e]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_URL = "127.0.0.1:8001"


def run(page: str, block: int, places: dict[str, str], **names: object) -> None:
    """Run one of a page's blocks of Python, with other places in it."""
    code = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[block]
    for written, here in places.items():
        code = code.replace(written, here)
    assert DEFAULT_URL not in code
    exec(compile(code, "a page", "exec"), names)


def test_every_block_is_run() -> None:
    assert PAGE.count("```python") == 2
    assert PAGE.count("```bash") == 1  # by test_spark_cluster.py


def test_quick_start(
    session: "SparkSession", server: TritonServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(PAGE, 0, {DEFAULT_URL: server.grpc_url, "demo/samples": str(SAMPLES), "build/": f"{tmp_path}/"})
    printed = capsys.readouterr().out
    assert re.match(r"6 rows \(0 without a recording\), .* errors: none", printed)
    assert re.search(r"^\|file:.*\| +\w+\|0\.\d+\|", printed, re.MULTILINE)
    assert {row.path.rpartition("/")[2] for row in session.read.parquet(str(tmp_path / "texts")).collect()} == {
        file.name for file in SAMPLES.glob("*.wav")
    }


def test_a_saved_pipeline(
    session: "SparkSession", server: TritonServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(PAGE, 1, {DEFAULT_URL: server.grpc_url, "build/": f"{tmp_path}/"})
    assert re.search(r"^\| +\| +1\.0\|$", capsys.readouterr().out, re.MULTILINE)  # a second, in which nobody speaks


def test_readme(session: "SparkSession", server: TritonServer, tmp_path: Path) -> None:
    (tmp_path / "calls").mkdir()
    shutil.copy(SAMPLES / "quilter.wav", tmp_path / "calls")
    servers = {"triton-1:8001": server.grpc_url, "triton-2:8001": "127.0.0.1:9"}  # nobody listens at the second one
    run(README, 1, {**servers, "s3a://calls": f"{tmp_path}/calls", "s3a://texts": f"{tmp_path}/texts"}, spark=session)
    (row,) = session.read.parquet(f"{tmp_path}/texts").collect()
    assert row.text.startswith("MISTER QUILTER")


def test_every_param_is_there() -> None:
    section = PAGE.partition("## Params")[2].partition("\n## ")[0]
    assert {param.name for param in TritonSpeechToText().params} <= set(re.findall(r"`(\w+)`", section))


def test_every_script_is_there() -> None:
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\.\./spark/examples/\1\)", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(script.name for script in spark_submit.EXAMPLES.glob("*.py"))
