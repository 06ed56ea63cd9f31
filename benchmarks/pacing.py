"""Samples that arrive as fast as they are spoken."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIECE_S = 0.1
LATE_S = 0.05  # a piece sent so late was delayed by this program, or by an answer that took long


@dataclass
class Pace:
    """The clock of one stream."""

    begin: float = 0.0  # of the stream, by time.perf_counter
    pieces: int = 0
    late: int = 0  # pieces that were sent too late

    def start(self) -> None:
        """Begin now."""
        self.begin = time.perf_counter()

    def now_s(self) -> float:
        """Return the seconds since the beginning."""
        return time.perf_counter() - self.begin


async def paced(samples: NDArray[np.int16], sampling_rate: int, pace: Pace) -> AsyncIterator[bytes]:
    """Yield each piece of samples `[samples]` at the time when it has been spoken."""
    size = int(PIECE_S * sampling_rate)
    for start in range(0, len(samples), size):
        wait = (start + size) / sampling_rate - pace.now_s()
        pace.pieces += 1
        pace.late += wait < -LATE_S
        await asyncio.sleep(max(0.0, wait))
        yield samples[start : start + size].tobytes()


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile, rounded; infinity if there are no values."""
    return round(float(np.quantile(values, share)), 3) if values else float("inf")
