"""`triton-asr loadtest --streams` against a real Triton."""

import json
import sys
import time
from pathlib import Path

import pytest
import triton_asr.main as command
from asr_client import Client, QueueFull
from asr_server import TritonServer

pytestmark = pytest.mark.e2e
SAMPLES = Path(__file__).parents[2] / "demo" / "samples" / "manifest.tsv"


def wait_for_a_place(client: Client) -> None:
    """Other tests abandon streams, which the server keeps for ten seconds."""
    for _ in range(30):
        try:
            list(client.stream([bytes(3200)], sampling_rate=16_000))
        except QueueFull:
            time.sleep(0.5)
        else:
            return
    raise AssertionError("the server has no place for a stream")


def test_live_streams_are_held_and_heard_as_without_load(
    server: TritonServer,
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wait_for_a_place(client)
    monkeypatch.setattr("asr_loadtest.steps.generator_process.prepare", lambda: None)
    load = ["--streams", "2", "--duration", "12", "--ramp", "1", "--mix", "uniform:1-4", "--recordings", "8"]
    options = ["-u", server.grpc_url, "--late-tolerance", "10000", "-o", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["triton-asr", "loadtest", str(SAMPLES), *load, *options])

    with pytest.raises(SystemExit) as exited:
        command.main()

    captured = capsys.readouterr()
    assert not exited.value.code, captured.err
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (step,) = report["steps"]
    assert step["errors"] == {}
    assert step["audio_rate"] == pytest.approx(2, rel=0.25)
    assert step["latency"]["count"] > 10
    assert step["latency"]["p50_ms"] > 480  # the chunk that is new, and the moment after it
    assert step["streams"]["final"]["count"] > 0
    assert step["checked"] > 0
    assert step["changed"] <= 0.2 * step["checked"]
    assert report["target"]["members"] == ["asr_stream", "acoustic", "ctc_decode"]
    assert {member["model"]: member["failures"] for member in step["members"]} == {
        "asr_stream": 0,
        "acoustic": 0,
        "ctc_decode": 0,
    }
