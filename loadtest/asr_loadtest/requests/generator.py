"""The generator of requests: it sends them at their scheduled times, and records how each of them ends.

The loop is open: no answer, however late, delays a request. Latency counts from the *scheduled* arrival, so that time
in the generator counts as well. Callers who wait for an answer before their next request do not send while the server
stands still. Their figures leave out the very requests that would have met the standstill ("coordinated omission", Gil
Tene). The generator has such a closed loop, too, for comparison.
"""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from asr_client import AsrError, Transcription

from asr_loadtest.recordings import Recording
from asr_loadtest.transcripts import Send

# An open loop gives up at this many requests under way: a server that far behind has failed, and memory is finite.
MAX_IN_FLIGHT = 20_000


@dataclass(slots=True)
class Exchange:
    """One request and its answer. Times are seconds from the start of the schedule."""

    recording: int  # index
    scheduled_s: float  # in a closed loop: when it was sent
    sent_s: float | None = None  # None: it was never sent
    done_s: float | None = None  # when the answer or error came
    text: str | None = None  # transcript; None: the request failed
    error: str | None = None  # name of the error's class
    message: str | None = None  # of the error

    @property
    def latency_ms(self) -> float | None:
        """Return the latency from the scheduled arrival; None without an answer."""
        return None if self.done_s is None else 1e3 * (self.done_s - self.scheduled_s)


class RequestHook(Protocol):
    """Is called for every request when it ends, with the arguments of Locust's `events.request.fire`."""

    def __call__(
        self,
        *,
        request_type: str,
        name: str,
        response_time: float,  # ms
        response_length: int,
        response: Transcription | None,
        context: dict[str, Any],
        exception: Exception | None,
    ) -> None: ...


class Generator:
    """Sends recordings to a server, in the running event loop.

    Args:
        send: transcribes one recording, without retries; raises AsrError.
        recordings: what can be sent.
        request_type: "grpc" or "http", for the hook.
        hook: is called for every request when it ends.
    """

    def __init__(
        self, send: Send, recordings: Sequence[Recording], request_type: str = "grpc", hook: RequestHook | None = None
    ) -> None:
        self._send, self._recordings = send, recordings
        self._request_type, self._hook = request_type, hook

    async def open_loop(self, arrivals: Sequence[float], order: Sequence[int], start_s: float) -> list[Exchange]:
        """Send a request at each of `arrivals`, and return all requests when they are answered.

        Args:
            arrivals: seconds from `start_s`, ascending.
            order: index of the recording that each carries.
            start_s: by the clock of the event loop.

        Returns:
            The requests in their order. Once MAX_IN_FLIGHT are under way, the rest are never sent.
        """
        loop = asyncio.get_running_loop()
        exchanges = [Exchange(recording, at_s) for at_s, recording in zip(arrivals, order, strict=True)]
        under_way: set[asyncio.Task[None]] = set()
        for exchange in exchanges:
            # Answers get at least one turn of the loop, even when the schedule is behind.
            await asyncio.sleep(max(0.0, start_s + exchange.scheduled_s - loop.time()))
            if len(under_way) >= MAX_IN_FLIGHT:
                break
            task = loop.create_task(self._exchange(exchange, start_s))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)
        return exchanges

    async def closed_loop(
        self, callers: int, seconds: float, order: Sequence[int], start_s: float, rate: float | None = None
    ) -> list[Exchange]:
        """Let callers send for some seconds, each the next request after the answer, and return all requests.

        Args:
            callers: how many there are.
            seconds: how long they send, from `start_s`.
            order: indexes of recordings; the caller that sends next takes the next one, and after the last the first.
            start_s: by the clock of the event loop.
            rate: most requests/s of all callers together; None: as many as they can.
        """
        loop = asyncio.get_running_loop()
        exchanges: list[Exchange] = []
        recordings = itertools.cycle(order)
        period_s = 0.0 if rate is None else callers / rate

        async def caller(number: int) -> None:
            due_s = number * period_s / callers
            while True:
                await asyncio.sleep(max(0.0, start_s + due_s - loop.time()))
                now_s = loop.time() - start_s
                if now_s >= seconds:
                    return
                exchange = Exchange(next(recordings), now_s)
                exchanges.append(exchange)
                await self._exchange(exchange, start_s)
                # A caller that is behind sends at once, and leaves out the requests that it missed.
                due_s = max(due_s + period_s, loop.time() - start_s)

        await asyncio.gather(*(caller(number) for number in range(callers)))
        return exchanges

    async def _exchange(self, exchange: Exchange, start_s: float) -> None:
        loop = asyncio.get_running_loop()
        recording = self._recordings[exchange.recording]
        answer: Transcription | None = None
        failure: Exception | None = None
        exchange.sent_s = loop.time() - start_s
        try:
            answer = await self._send(recording)
        except AsrError as error:
            failure = error
        exchange.done_s = loop.time() - start_s
        if answer is not None:
            exchange.text = answer.text
        else:
            exchange.error, exchange.message = type(failure).__name__, str(failure)
        if self._hook is not None:
            self._hook(
                request_type=self._request_type,
                name=recording.length_class,
                response_time=exchange.latency_ms or 0.0,
                response_length=len(exchange.text or ""),
                response=answer,
                context={},
                exception=failure,
            )
