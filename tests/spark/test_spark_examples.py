"""The examples in `spark/examples`, as users run them."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import spark_submit
from asr_server import TritonServer
from spark_service import SAMPLES, all_answered, answered, wait_until

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.e2e]
MANIFEST = SAMPLES / "manifest.tsv"
LONG_AGO_S = 1_000_000_000
Here = Callable[..., int]


@pytest.fixture
def here(session: "SparkSession", server: TritonServer, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Run an example in this process, with the session of the tests; it returns the exit code.

    It names the server, so that pytest-xdist keeps all on one worker, with one JVM.
    """

    def run(script: str, *arguments: object) -> int:
        spec = importlib.util.spec_from_file_location("example", spark_submit.EXAMPLES / script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        status: int = module.main()
        session.sparkContext.setLogLevel("OFF")
        return status

    return run


def test_a_folder_to_parquet(
    session: "SparkSession", server: TritonServer, texts: dict[Path, str], tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    (calls / "may 2026").mkdir(parents=True)
    for file in texts:
        shutil.copy(file, calls / "may 2026" / f"über #1 {file.name}")
    (calls / "broken.wav").write_bytes(b"no audio")
    (calls / "notes.txt").write_text("no recording")
    arguments = calls, tmp_path / "texts", "--url", server.grpc_url, "--glob", "*.{wav,flac,opus}"
    printed = spark_submit.run("folder_to_parquet.py", *arguments, status=1)

    rows = {row.path.rpartition("/")[2]: row for row in session.read.parquet(str(tmp_path / "texts")).collect()}
    assert rows.pop("broken.wav").error.type == "InvalidRequest"
    assert {name: row.text for name, row in rows.items()} == {f"über #1 {file.name}": texts[file] for file in texts}
    assert all(row.words and row.words[0].end > row.words[0].start and row.error is None for row in rows.values())
    number = len(texts) + 1
    assert any(line.startswith(f"file:{calls}/broken.wav: InvalidRequest: ") for line in printed)
    assert f"{number} rows written, 1 of them with an error" in printed
    assert re.match(rf"{number} rows .* s of audio a second; errors: 1 InvalidRequest", printed[-1])


def test_an_output_that_is_there_already(
    here: Here, server: TritonServer, texts: dict[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(next(iter(texts)), tmp_path / "call.wav")
    arguments = tmp_path, tmp_path / "texts", "--url", server.grpc_url, "--glob", "*.wav"
    (tmp_path / "texts").mkdir()
    before = all_answered(server)
    assert here("folder_to_parquet.py", *arguments) == 2
    assert "PATH_ALREADY_EXISTS" in capsys.readouterr().err
    assert all_answered(server) == before
    assert here("folder_to_parquet.py", *arguments, "--overwrite") == 0


def test_nobody_listens(here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(SAMPLES / "quilter.wav", tmp_path)
    assert here("folder_to_parquet.py", tmp_path, tmp_path / "texts", "--url", "127.0.0.1:9", "--fail-after-s", 1) == 2
    assert "at 127.0.0.1:9" in capsys.readouterr().err


def test_a_killed_driver_of_arriving_files(
    here: Here, session: "SparkSession", server: TritonServer, calls: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, told = calls
    output, before = tmp_path / "texts", answered(server)
    arguments = folder, output, "--checkpoint", tmp_path / "checkpoint", "--url", server.grpc_url, "--files", "20"
    words = spark_submit.command("arriving_files.py", *arguments, "--concurrency", "1", "--tasks", "1")
    with subprocess.Popen(words, env=spark_submit.environment(), stdout=subprocess.DEVNULL) as driver:
        wait_until(lambda: answered(server) - before >= 25)  # in the second batch
        for process in [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]:
            os.kill(process.pid, signal.SIGKILL)
    assert answered(server) - before < len(told), "all was done before"

    assert here("arriving_files.py", *arguments, "--once") == 0
    rows = session.read.parquet(str(output)).collect()
    assert sorted((row.path.rpartition("/")[2], row.text) for row in rows) == sorted(told.items())

    late = folder / "late.wav"  # its time says that it is older than all the others
    shutil.copy(SAMPLES / "short_stereo.wav", tmp_path / late.name)
    os.utime(tmp_path / late.name, (LONG_AGO_S, LONG_AGO_S))
    (tmp_path / late.name).rename(late)
    sent = all_answered(server)
    assert here("arriving_files.py", *arguments, "--once") == 0
    assert session.read.parquet(str(output)).count() == len(told) + 1
    assert all_answered(server) == sent + 1


def test_the_word_error_rate_is_that_of_evaluate(
    here: Here, server: TritonServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.json"
    evaluate = [Path(sys.executable).with_name("triton-asr"), "evaluate", MANIFEST, "--json", report]
    subprocess.run([*evaluate, "--url", server.grpc_url], check=True, capture_output=True, timeout=240)
    found = json.loads(report.read_text(encoding="utf-8"))
    before = all_answered(server)
    assert here("word_error_rate.py", MANIFEST, "--url", server.grpc_url, "--worst", "1") == 0
    printed = capsys.readouterr().out.splitlines()

    assert f"CER {100 * found['cer']:.1f} %" in printed
    assert f"total WER {100 * found['wer']:.1f} %  ({found['words']} words, 0 recordings failed)" in printed
    assert sum(line.startswith("    transcript  ") for line in printed) == 1
    assert all_answered(server) - before == found["files"]  # each was sent once
