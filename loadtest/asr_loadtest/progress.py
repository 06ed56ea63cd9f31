"""The progress of a load test on standard error: a bar during a step, and a line after it."""

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any

from tqdm import tqdm

from asr_loadtest.loadtest import Progress
from asr_loadtest.report import wording
from asr_loadtest.results import Step


class TerminalProgress(Progress):
    """Writes lines, and bars where standard error is a terminal."""

    def baseline(self, done: int, total: int) -> None:
        """Write a line when all are done."""
        if done == total:
            _write(f"{total} recordings transcribed without load")

    def note(self, text: str) -> None:
        """Write the note as a line."""
        _write(wording.clean(text))

    async def hold(self, title: str, seconds: float, step: Awaitable[Step]) -> Step:
        """Show a bar of seconds during the step, and write its figures after it."""
        bar_s = round(seconds)
        with tqdm(total=bar_s, desc=title, unit="s", file=sys.stderr, leave=False, disable=None) as bar:
            clock = asyncio.create_task(_count(bar, bar_s))
            try:
                held = await step
            finally:
                clock.cancel()
        _write(line(held))
        return held


def line(step: Step) -> str:
    """Return the figures of a step, in one line."""
    latency = step.latency
    if step.void:
        outcome = f"void: {'; '.join(step.void)}"
    elif step.missed:
        outcome = f"missed: {'; '.join(step.missed)}"
    else:
        outcome = "ok"
    figures = ", ".join(
        f"{name} {wording.milliseconds(value)}"
        for name, value in (("p50", latency.p50_ms), ("p95", latency.p95_ms), ("p99", latency.p99_ms))
        if value is not None
    )
    return (
        f"{wording.load(step.load)} for {step.load.measured_s:.0f} s: {figures or 'no success'} ms, "
        f"{_answered(step)}, errors {wording.percent(step.error_rate)}: {outcome}"
    )


def _answered(step: Step) -> str:
    rate = wording.rate(step.answered_rate)
    return f"{rate} s of audio per second" if step.streams is not None else f"{rate}/s answered"


async def _count(bar: "tqdm[Any]", seconds: int) -> None:
    """Move the bar once a second up to its end; answers may still be outstanding then."""
    for _ in range(seconds):
        await asyncio.sleep(1)
        bar.update()


def _write(text: str) -> None:
    tqdm.write(text, file=sys.stderr)
