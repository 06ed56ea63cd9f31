"""Send ten times what the server can do, for a minute, and measure the requests that it admits and refuses.

    python benchmarks/overload.py REPOSITORY CAPACITY [--seconds 60] [--times 10]

CAPACITY, in requests/s, is what `triton-asr loadtest demo/samples --mix uniform:1-20 --slo-p95-ms 500` finds on the
same machine. Recordings of the same mix arrive at ten times that rate, at random times, without retries. They do not
wait for earlier answers, and latency counts from the time at which a request was due. The exit status is 1 if one of
these promises is broken:

- Admitted requests keep their transcripts, and their 95th percentile stays within three times the SLO.
- The server refuses the others with UNAVAILABLE, within 100 ms (95th percentile).
- Afterwards, the server's memory is within 10 % of what it was after some seconds of saturation before.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from asr_client import AsrError, AsyncClient, QueueFull, RetryPolicy
from asr_loadtest.mix import Uniform, make
from asr_loadtest.requests.arrivals import arrivals
from asr_loadtest.server_view.processes import ServerProcesses
from asr_loadtest.steps import generator_process
from asr_server import TritonServer
from machine import machine
from memory import memory_mb, peak_mb

SAMPLES = Path(__file__).parents[1] / "demo" / "samples"
RESULT = Path(__file__).parent / "results" / "overload.json"
PACKAGES = ("nvidia-pytriton", "onnxruntime", "tritonclient", "triton-asr-kit")
LENGTHS_S = (1, 20)
RECORDINGS = 50
CALLERS = 16  # one batch: the server is never idle, and its queue is never full
SATURATION_S = 30.0  # after that, memory has reached what the work needs
ADMITTED_P95_MS = 1500.0
REFUSED_P95_MS = 100.0
MEMORY_SHARE = 0.1
LATE_S = 0.05  # a request sent so late was delayed by this program


@dataclass(frozen=True)
class Answer:
    """The result of one request."""

    recording: int
    text: str | None
    error: type[AsrError] | None  # the error itself would hold its traceback, and with it the recording
    latency_s: float  # from the time at which it was due
    late_s: float  # from the time at which it was due to its sending


def main() -> None:
    """Measure, print a table and write the figures; exit with 1 if a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("capacity", type=float)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--result", type=Path, default=RESULT)
    arguments = parser.parse_args()
    log: list[str] = []
    with TritonServer(arguments.repository, http_port=0, grpc_port=0, metrics_port=0, log=log.append) as server:
        generator_process.prepare()  # before measuring, so that it does not disturb the server
        figures = asyncio.run(measure(server, arguments.capacity, arguments.seconds, arguments.times))
    figures["kept"] = kept(figures)
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(PACKAGES), "figures": figures}
    arguments.result.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    print(f"written to {arguments.result}", file=sys.stderr)
    if not all(figures["kept"].values()):
        sys.exit(1)


def recordings(number: int = RECORDINGS) -> list[bytes]:
    """Return WAV files of 1 to 20 s."""
    sources = [path for path in sorted(SAMPLES.iterdir()) if path.suffix != ".tsv"]
    return make(sources, Uniform(*LENGTHS_S).lengths(number), seed=0)


async def measure(server: TritonServer, capacity: float, seconds: float, times: float) -> dict[str, Any]:
    """Measure the server before, during and after the overload."""
    processes = ServerProcesses.find(server.grpc_url)
    assert processes is not None, "the server runs on this machine"
    files = recordings()
    texts = await transcripts(server.grpc_url, files)
    saturated = await saturate(server.grpc_url, files, SATURATION_S)
    normal_ms = await median_ms(server.grpc_url, files[0])
    before = await memory_mb(processes)
    due = arrivals("poisson", times * capacity, seconds, seed=0)
    peak = asyncio.create_task(peak_mb(processes, seconds))
    answers = await offer(server.grpc_url, files, due)
    next_ms = await median_ms(server.grpc_url, files[0])
    after = await memory_mb(processes)
    return {
        "capacity_per_s": round(capacity, 1),
        "saturated_per_s": round(saturated, 1),
        "offered_per_s": round(len(due) / seconds, 1),
        "seconds": seconds,
        **summary(answers, texts, seconds),
        "request_ms": {"before": round(normal_ms, 1), "after": round(next_ms, 1)},
        "memory_mb": {"before": round(before, 1), "peak": round(await peak, 1), "after": round(after, 1)},
    }


async def transcripts(url: str, files: Sequence[bytes]) -> list[str]:
    """Return the transcript of each file, sent alone."""
    async with AsyncClient(url) as client:
        return [(await client.transcribe(file)).text for file in files]


async def saturate(url: str, files: Sequence[bytes], seconds: float) -> float:
    """Return answers per second of a closed loop; after it, the server has the memory that the work needs."""
    deadline = time.perf_counter() + seconds
    async with AsyncClient(url) as client:

        async def caller(first: int) -> int:
            done = 0
            while time.perf_counter() < deadline:
                await client.transcribe(files[(first + done) % len(files)])
                done += 1
            return done

        start = time.perf_counter()
        done = sum(await asyncio.gather(*map(caller, range(CALLERS))))
        return done / (time.perf_counter() - start)


async def offer(url: str, files: Sequence[bytes], due: Sequence[float]) -> list[Answer]:
    """Send a request at each of the times `due` (seconds from now), and wait for all answers."""
    async with AsyncClient(url, retry=RetryPolicy(max_attempts=1)) as client:
        await client.server_ready()  # connects
        start = time.perf_counter() + 0.1

        async def send(index: int, due_at: float) -> Answer:
            recording, text, failed = index % len(files), None, None
            late_s = time.perf_counter() - due_at
            try:
                text = (await client.transcribe(files[recording])).text
            except AsrError as error:
                failed = type(error)
            return Answer(recording, text, failed, time.perf_counter() - due_at, late_s)

        tasks = []
        for index, offset in enumerate(due):
            await asyncio.sleep(max(0.0, start + offset - time.perf_counter()))
            tasks.append(asyncio.create_task(send(index, start + offset)))
        return await asyncio.gather(*tasks)


async def median_ms(url: str, file: bytes) -> float:
    """Return the median latency of a single caller; the first request only waits until the queue is empty."""
    async with AsyncClient(url) as client:
        await client.transcribe(file)
        latencies = []
        for _ in range(20):
            start = time.perf_counter()
            await client.transcribe(file)
            latencies.append(time.perf_counter() - start)
        return 1000 * statistics.median(latencies)


def summary(answers: Sequence[Answer], texts: Sequence[str], seconds: float) -> dict[str, Any]:
    """Return the counts and latencies of admitted and refused requests."""
    admitted = [answer for answer in answers if answer.error is None]
    refused = [answer for answer in answers if answer.error is QueueFull]
    return {
        "admitted": {**latencies_ms(admitted), "per_s": round(len(admitted) / seconds, 1)},
        "refused": latencies_ms(refused),
        "other_errors": Counter(answer.error.__name__ for answer in answers if answer.error and answer not in refused),
        "wrong": sum(answer.text != texts[answer.recording] for answer in admitted),
        "sent_late": round(sum(answer.late_s > LATE_S for answer in answers) / len(answers), 4),
    }


def latencies_ms(answers: Sequence[Answer]) -> dict[str, float]:
    """Return the number of answers and the quantiles of their latencies."""
    values = 1000 * np.array([answer.latency_s for answer in answers] or [0.0])
    p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99]).round(1).tolist()
    return {"requests": len(answers), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": round(values.max(), 1)}


def kept(figures: dict[str, Any]) -> dict[str, bool]:
    """Return for each promise whether the server kept it."""
    memory = figures["memory_mb"]
    return {
        f"admitted: p95 ≤ {ADMITTED_P95_MS:g} ms": figures["admitted"]["p95_ms"] <= ADMITTED_P95_MS,
        f"refused: p95 ≤ {REFUSED_P95_MS:g} ms": figures["refused"]["p95_ms"] <= REFUSED_P95_MS,
        "no other error": not figures["other_errors"],
        "no wrong transcript": not figures["wrong"],
        "memory within 10 %": memory["after"] <= (1 + MEMORY_SHARE) * memory["before"],
    }


def table(figures: dict[str, Any]) -> str:
    """Return the table of docs/faults.md as Markdown."""
    rows = [
        f"| {name} | {of['requests']} | {of['p50_ms']} | {of['p95_ms']} | {of['p99_ms']} | {of['max_ms']} |"
        for name, of in (("admitted", figures["admitted"]), ("refused", figures["refused"]))
    ]
    memory, request = figures["memory_mb"], figures["request_ms"]
    return "\n".join(
        [
            f"capacity {figures['capacity_per_s']} requests/s, saturated {figures['saturated_per_s']}/s; "
            f"offered {figures['offered_per_s']}/s for {figures['seconds']:g} s; {figures['sent_late']:.1%} sent late",
            "",
            "| | requests | p50 ms | p95 ms | p99 ms | max ms |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"other errors: {dict(figures['other_errors']) or 'none'}; wrong transcripts: {figures['wrong']}",
            f"memory: {memory['before']} MB before, {memory['peak']} MB at most, {memory['after']} MB after",
            f"a request alone: {request['before']} ms before, {request['after']} ms after",
            *(f"{'kept' if held else 'BROKEN'}: {promise}" for promise, held in figures["kept"].items()),
        ]
    )


if __name__ == "__main__":
    main()
