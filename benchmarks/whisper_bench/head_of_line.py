"""A short recording behind a long one: how long does it wait, and what is left of the long one when its caller goes?"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asr_client import AsyncClient
from asr_loadtest.server_view.processes import ServerProcesses
from asr_loadtest.server_view.triton_statistics import MemberStatistics
from peers.figures import spread

from whisper_bench.contenders import PATIENCE_S, Kit
from whisper_bench.speech import Clip

MODEL, STEP = "asr", "whisper_generate"
PROBES = 3  # in a round: alone, and behind the long recording
ROUNDS_SEEN = 3  # windows of the long recording before the first probe
POLL_S = 0.05
IDLE_CORES = 0.1
IDLE_POLL_S = 0.25  # a sample of the processes costs some milliseconds


def measure(kit: Kit, short: Clip, long: Clip, rounds: int) -> dict[str, Any]:
    """Return seconds: of the short recording alone and behind the long one, of a window, and until the server is idle.

    A window is one of 30 s of the long recording. After the probes, its caller goes.

    Raises:
        AsrError: the service refused a recording.
        RuntimeError: the long recording was over before all probes were; it must be longer.
    """
    found = [asyncio.run(_round(kit.url, short, long)) for _ in range(rounds)]
    behind = [one["behind_s"] / one["alone_s"] for one in found]
    return {
        "short_s": round(short.seconds, 1),
        "long_s": round(long.seconds, 1),
        "rounds": rounds,
        **{name: spread(one[name] for one in found) for name in found[0]},
        "behind_to_alone": spread(behind),
    }


async def _round(url: str, short: Clip, long: Clip) -> dict[str, float]:
    processes = ServerProcesses.find(url)
    assert processes is not None, "the server runs on this machine"
    async with (
        AsyncClient(url, model=MODEL, timeout_s=PATIENCE_S) as prober,
        AsyncClient(url, model=MODEL, timeout_s=PATIENCE_S) as caller,
        MemberStatistics(url, "grpc", MODEL) as statistics_of,
    ):

        async def windows() -> int:
            """Return the windows that were answered since the server began."""
            return (await statistics_of.read()).counts[STEP].inferences

        async def probe() -> float:
            return statistics.median([await _seconds(lambda: prober.transcribe(short.path)) for _ in range(PROBES)])

        alone_s = await probe()
        before = await windows()
        task = asyncio.create_task(caller.transcribe(long.path))
        await _until(windows, before + 1, task)
        begin = time.perf_counter()
        await _until(windows, before + ROUNDS_SEEN, task)
        window_s = (time.perf_counter() - begin) / (ROUNDS_SEEN - 1)
        behind_s = await probe()
        _require_under_way(task)
        task.cancel()
        gone = time.perf_counter()
        await asyncio.gather(task, return_exceptions=True)
        at_its_end = await windows()
        idle_s = await _idle(processes, gone)
        left = await windows() - at_its_end
    return {
        "alone_s": alone_s,
        "behind_s": behind_s,
        "window_s": window_s,
        "windows_after_caller_has_gone": left,
        "idle_after_s": idle_s,
    }


async def _seconds(work: Callable[[], Awaitable[Any]]) -> float:
    begin = time.perf_counter()
    await work()
    return time.perf_counter() - begin


async def _until(windows: Callable[[], Awaitable[int]], count: int, task: "asyncio.Task[Any]") -> None:
    while await windows() < count:
        _require_under_way(task)
        await asyncio.sleep(POLL_S)


def _require_under_way(task: "asyncio.Task[Any]") -> None:
    if task.done():
        task.result()  # raises what went wrong
        raise RuntimeError("the long recording was over before the short ones were; it must be longer")


async def _idle(processes: ServerProcesses, since: float) -> float:
    """Return the seconds from `since` to the first interval in which the server did next to nothing."""
    processes.sample(0.0)
    while True:
        start = time.perf_counter()
        await asyncio.sleep(IDLE_POLL_S)
        used = processes.sample(0.0).cpu_cores
        if used is not None and used < IDLE_CORES:
            return start - since
