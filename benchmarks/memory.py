"""The memory of a server's processes while work goes on."""

import asyncio
import concurrent.futures
import time
from collections.abc import Callable
from typing import TypeVar

from asr_loadtest.server_view.processes import ServerProcesses

REST_S = 5.0  # before the program reads memory
PEAK_EVERY_S = 5.0  # reading memory takes processor time, which client and server share

Result = TypeVar("Result")


async def memory_mb(processes: ServerProcesses) -> float:
    """Return the memory of the server after a rest, in MB."""
    await asyncio.sleep(REST_S)
    return await _sample_mb(processes)


async def peak_mb(processes: ServerProcesses, seconds: float) -> float:
    """Return the largest of some samples of the server's memory, in MB."""
    deadline = time.monotonic() + seconds
    peak = 0.0
    while time.monotonic() < deadline:
        peak = max(peak, await _sample_mb(processes))
        await asyncio.sleep(PEAK_EVERY_S)
    return peak


def timed(processes: ServerProcesses, work: Callable[[], Result]) -> tuple[Result, float, float]:
    """Return the result of `work`, its seconds, and the largest memory of the server meanwhile, in MB."""

    def stopped() -> tuple[Result, float]:
        begin = time.perf_counter()
        return work(), time.perf_counter() - begin

    with concurrent.futures.ThreadPoolExecutor(1) as worker:
        future, most = worker.submit(stopped), 0.0
        while not future.done():
            most = max(most, asyncio.run(peak_mb(processes, 0.1)))
        return (*future.result(), most)


async def _sample_mb(processes: ServerProcesses) -> float:
    sample = await asyncio.to_thread(processes.sample, 0.0)
    return (sample.memory_bytes or 0) / 1e6
