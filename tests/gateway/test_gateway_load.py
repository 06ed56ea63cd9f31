"""A load test through a gateway before a real Triton, and the benchmark of what the gateway costs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gateway_service
import pytest
from asr_server import TritonServer
from gateway_speech import SAMPLES

pytestmark = pytest.mark.e2e
ROOT = SAMPLES.parents[1]
TIMEOUT_S = 240


def ran(*command: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def loadtest(folder: Path, *arguments: object) -> Any:
    """The report of a short load test."""
    load = ("--rates", 4, "--duration", 3, "--ramp", 0.5, "--late-tolerance", 10_000, "-o", folder)
    done = ran(sys.executable, "-m", "triton_asr", "loadtest", SAMPLES / "manifest.tsv", *load, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_a_load_test_hears_the_same_by_grpc_and_through_the_gateway(server: TritonServer, tmp_path: Path) -> None:
    direct = loadtest(tmp_path / "direct", "-u", server.grpc_url)
    with gateway_service.running(server.grpc_url) as gateway:
        through = loadtest(tmp_path / "through", "--protocol", "openai", "-u", gateway.url)
    assert through["profile"]["recordings"] == direct["profile"]["recordings"] == 16
    for report in (direct, through):
        (step,) = report["steps"]
        assert (step["errors"], step["requests"], step["checked"]) == ({}, 12, 12)
        assert step["solo_wer"] == direct["steps"][0]["solo_wer"] > 0
    assert [len(report["target"]["members"]) for report in (direct, through)] == [3, 0]


def test_the_benchmark_measures_both_ways(demo_repository: Path, tmp_path: Path) -> None:
    results = tmp_path / "gateway.json"
    short = ("--callers", "1,3", "--rounds", 1, "--seconds", 1, "--results", results)
    done = ran(sys.executable, ROOT / "benchmarks" / "compare_gateway.py", demo_repository, *short)
    assert results.exists(), done.stderr
    found = json.loads(results.read_text(encoding="utf-8"))
    assert found["callers"].keys() == {"1", "3"}
    for one in found["callers"].values():
        assert one["errors"] == 0
        assert one["gateway"]["gateway_cpu_ms"]["median"] > 0
        assert one["direct"]["rate"]["median"] > 0
