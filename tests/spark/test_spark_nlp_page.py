"""The Python in docs/spark-nlp.md runs as it stands there, and prints what stands there."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from asr_server import TritonServer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.e2e]
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "spark-nlp.md").read_text(encoding="utf-8")
DEFAULT_URL = "127.0.0.1:8001"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page(
    session: "SparkSession", server: TritonServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    printed = []
    try:
        for code in blocks("python"):
            exec(compile(code.replace(DEFAULT_URL, server.grpc_url), "spark-nlp.md", "exec"), names)
            printed.append(capsys.readouterr().out.strip())
    finally:
        session.conf.unset("spark.triton.asr.urls")
    assert "MIDDLE CLASSES" in printed[0]
    assert printed == [text.strip() for text in blocks("text")]
