"""The report for programs."""

import csv
import io
import json
from pathlib import Path

from asr_loadtest.report import files
from loadtest_reports import report, search, step


def test_json_has_all_of_it_and_the_version_of_its_schema() -> None:
    content = json.loads(files.to_json(search()))
    assert content["schema"] == files.SCHEMA
    assert content["ok"] is True
    assert content["capacity"]["rate"] == 4.0
    assert content["steps"][0]["members"][1]["model"] == "acoustic"


def test_json_says_of_each_step_whether_it_is_a_result() -> None:
    steps = json.loads(files.to_json(report(step(), step(void=("late",)))))["steps"]
    assert [item["ok"] for item in steps] == [True, False]


def test_csv_has_a_row_a_step_and_void_ones_say_why() -> None:
    rows = list(csv.DictReader(io.StringIO(files.to_csv(report(step(2.0, 40.0), step(4.0, void=("late, too late",)))))))
    assert [row["void"] for row in rows] == ["", "late, too late"]
    assert float(rows[0]["p50_ms"]) == 40.0
    assert float(rows[0]["acoustic_average_batch"]) == 1.5


def test_csv_leaves_the_ramp_out_of_what_the_server_took() -> None:
    (row,) = csv.DictReader(io.StringIO(files.to_csv(report(step()))))
    assert float(row["memory_bytes_max"]) == 400 * 2**20 + 59_000
    assert row["gpu_utilization_mean"] == ""


def test_three_files_even_with_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    paths = files.write(report(step(), command="triton-asr loadtest caf\udce9"), tmp_path / "new" / "report")
    assert [path.name for path in paths] == ["report.json", "report.csv", "report.html"]
    assert all(path.read_text("utf-8") for path in paths)
