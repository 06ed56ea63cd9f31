"""What a served model carries: throughput with every caller waiting, latency at rates, and live streams."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from asr_client.commands.connection import Connection
from asr_loadtest import loadtest
from asr_loadtest.mix import Uniform, make
from asr_loadtest.recordings import Recording
from asr_loadtest.results import MemberLoad, Step
from asr_loadtest.schedule import Schedule
from asr_loadtest.server_view.triton_statistics import MemberStatistics, Snapshot, difference
from asr_loadtest.steps.settings import Settings
from asr_server import TritonServer

from gpu_bench.checkpoints import NAME, ROOT
from gpu_bench.plan import Plan

SAMPLES = ROOT / "demo" / "samples"
CALLERS = Path(__file__).parent / "callers.py"
READY_TIMEOUT_S = 240.0


@contextmanager
def served(repository: Path) -> Iterator[TritonServer]:
    """Yield a server of a repository, on free ports; its log is in the error if it does not start."""
    log: list[str] = []
    with TritonServer(
        repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append, ready_timeout_s=READY_TIMEOUT_S
    ) as server:
        yield server


def throughput(server: TritonServer, plan: Plan) -> dict[str, Any]:
    """Return seconds of audio per second, for recordings of mixed and of equal lengths, and the ratio of both.

    A batch of mixed lengths is padded to its longest: the ratio is what padding costs.
    """
    lengths = {"mixed": Uniform(*plan.mixed_s).lengths(plan.recordings), "equal": [plan.equal_s] * plan.recordings}
    found: dict[str, Any] = {}
    for name, seconds in lengths.items():
        with tempfile.TemporaryDirectory() as folder:
            order = np.random.default_rng(0).permutation(len(seconds))
            for index, file in enumerate(_recordings([seconds[one] for one in order])):
                Path(folder, f"{index:03}.wav").write_bytes(file)
            found[name] = _saturate(server, Path(folder), plan)
    return {**found, "mixed_to_equal": found["mixed"]["rtfx"] / found["equal"]["rtfx"]}


def latency(server: TritonServer, plan: Plan, per_second: float) -> list[dict[str, Any]]:
    """Return the latencies at shares of a throughput in requests/s, in an open loop of recordings of mixed lengths."""
    schedule = Schedule("steps", tuple(share * per_second for share in plan.rate_shares), plan.seconds)
    return [
        {
            "share": share,
            "rate": step.offered_rate,
            "rtfx": step.audio_rate,
            "p50_ms": step.latency.p50_ms,
            "p95_ms": step.latency.p95_ms,
            **_facts(step),
        }
        for share, step in zip(plan.rate_shares, _steps(server, plan, schedule), strict=True)
    ]


def streams(server: TritonServer, plan: Plan) -> list[dict[str, Any]]:
    """Return the lags of live streams; a stream is held where its last figures come as fast as it is spoken."""
    schedule = Schedule("steps", tuple(map(float, plan.streams)), plan.seconds, of_streams=True)
    return [
        {
            "streams": number,
            "audio_rate": step.audio_rate,  # of so many streams, this is their number
            "partial_lag_p95_ms": step.latency.p95_ms,
            "final_lag_p95_ms": step.streams.final.p95_ms if step.streams else None,
            **_facts(step),
        }
        for number, step in zip(plan.streams, _steps(server, plan, schedule), strict=True)
    ]


def _saturate(server: TritonServer, folder: Path, plan: Plan) -> dict[str, Any]:
    command = [sys.executable, str(CALLERS), server.grpc_url, str(folder), str(plan.callers)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(plan.processes)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # READY; nothing if it failed, which its answer will show
        begin = time.time() + plan.ramp_s
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{begin} {begin + plan.seconds}\n")
            process.stdin.flush()
        time.sleep(max(0.0, begin - time.time()))
        before = asyncio.run(_counters(server))
        time.sleep(plan.seconds)
        members = difference(before, asyncio.run(_counters(server)))
        answers = [json.loads(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    audio_s, requests = (sum(answer[key] for answer in answers) for key in ("audio_s", "requests"))
    return {
        "rtfx": audio_s / plan.seconds,
        "requests_per_s": requests / plan.seconds,
        "members": {member.model: _member(member) for member in members},
    }


def _member(load: MemberLoad) -> dict[str, float]:
    return {
        "average_batch": load.average_batch,
        "queue_ms": load.queue_ms,
        "input_ms": load.input_ms,
        "infer_ms": load.infer_ms,
        "output_ms": load.output_ms,
    }


async def _counters(server: TritonServer) -> Snapshot:
    async with MemberStatistics(server.grpc_url, "grpc", NAME) as statistics:
        return await statistics.read()


def _steps(server: TritonServer, plan: Plan, schedule: Schedule) -> Sequence[Step]:
    lengths = Uniform(*plan.mixed_s).lengths(plan.recordings)
    recordings = [
        Recording(f"{index:03}.wav", file, seconds)
        for index, (file, seconds) in enumerate(zip(_recordings(lengths), lengths, strict=True))
    ]
    load_test = loadtest.LoadTest(
        Connection(urls=[server.grpc_url], model=NAME),
        str(SAMPLES),
        recordings,
        Settings(ramp_s=plan.ramp_s),
        schedule,
        check=False,  # random weights turn labels over at a difference that no trained model would show
        metrics_url=server.metrics_url,
    )
    return asyncio.run(loadtest.run(load_test)).steps


def _facts(step: Step) -> dict[str, Any]:
    utilization = [one.gpu_utilization for one in step.resources if one.gpu_utilization is not None]
    return {
        "requests": step.requests,
        "errors": step.errors,
        "gpu_utilization": float(np.mean(utilization)) if utilization else None,
        "void": list(step.void),
    }


def _recordings(lengths: Sequence[float]) -> list[bytes]:
    return make([path for path in sorted(SAMPLES.iterdir()) if path.suffix != ".tsv"], lengths, seed=0)
