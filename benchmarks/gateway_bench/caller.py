"""Callers in a process of their own, so that what they cost is known and no part of the gateway's cost.

    python caller.py PROTOCOL URL SOURCE

It reads one order a line from standard input, `{"callers": 4, "seconds": 10}`, and answers each with one line. An order
of 0 callers asks for the transcript of each recording. Both protocols have the same loop of requests and the same event
loop; a caller of gRPC is the kit's client.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from asr_client import Transcription
from asr_client.commands.connection import Connection
from asr_loadtest import recordings as profiles
from asr_loadtest import under_test
from asr_loadtest.openai.endpoint import Endpoint
from asr_loadtest.recordings import Recording
from asr_loadtest.requests.generator import Exchange, Generator
from asr_loadtest.steps.generator_process import punctual
from asr_loadtest.transcripts import Send

MODEL = "asr"
LENGTH_S = 5.0
RECORDINGS = 40
TIMEOUT_S = 60.0
RAMP_S = 0.5  # that no figure counts
_ORDER_LENGTH = 100_000


async def main(protocol: str, url: str, source: Path) -> None:
    """Obey the orders until standard input ends."""
    recordings = profiles.load(source, mix=f"{LENGTH_S:g}", number=RECORDINGS)
    async with _sending(protocol, url) as send:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            answer: Any
            if order["callers"]:
                answer = await _load(send, recordings, order["callers"], order["seconds"])
            else:
                answer = [(await send(recording)).text for recording in recordings]
            print(json.dumps(answer), flush=True)


@asynccontextmanager
async def _sending(protocol: str, url: str) -> AsyncIterator[Send]:
    if protocol == "openai":
        async with under_test.openai_service(Endpoint.at(url, MODEL, TIMEOUT_S)) as service:
            yield service.transcribe
        return
    async with Connection(urls=[url], model=MODEL, timeout_s=TIMEOUT_S).async_client(under_test.NO_RETRIES) as client:

        async def send(recording: Recording) -> Transcription:
            return await client.transcribe(recording.audio)

        yield send


async def _load(send: Send, recordings: Sequence[Recording], callers: int, seconds: float) -> dict[str, Any]:
    order = profiles.in_rounds(_ORDER_LENGTH, len(recordings), seed=0)
    with punctual():
        start_s, cpu_s = asyncio.get_running_loop().time(), time.process_time()
        exchanges = await Generator(send, recordings).closed_loop(callers, RAMP_S + seconds, order, start_s)
        cpu_s = time.process_time() - cpu_s
    return figures(exchanges, seconds, cpu_s)


def figures(exchanges: Sequence[Exchange], seconds: float, cpu_s: float) -> dict[str, Any]:
    """Return the figures of a load.

    Args:
        exchanges: all requests, those of the ramp and those that ended after the measured time among them.
        seconds: the measured time.
        cpu_s: processor time of this process meanwhile.
    """
    measured = [one for one in exchanges if one.done_s is not None and RAMP_S <= one.done_s < RAMP_S + seconds]
    answered = [one for one in measured if one.error is None]
    return {
        "requests": len(exchanges),
        "errors": sum(one.error is not None for one in exchanges),
        "rate": len(answered) / seconds,
        "p50_ms": statistics.median([one.latency_ms or 0.0 for one in answered] or [0.0]),
        "cpu_ms": 1e3 * cpu_s / max(1, len(exchanges)),
    }


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
