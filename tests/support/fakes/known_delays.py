"""A server whose answers take times that are known exactly, and the fake of one that needs neither network nor time.

`on_virtual_time` runs a coroutine in an event loop whose clock jumps to the next timer as soon as nothing else is to be
done. So what is measured against `InProcess` holds to the microsecond, on a busy machine as on a quiet one.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import looptime
from asr_client import QueueFull, StreamResult, Transcription
from asr_loadtest.recordings import Recording
from asr_loadtest.streams.playback import Script

STREAM_RATE = 16_000  # Hz; its samples have 16 bits
CHUNK_S, AFTER_S, ENDPOINT_S = 0.32, 0.16, 0.8

Result = TypeVar("Result")


@dataclass(frozen=True)
class Behaviour:
    """How the fake answers."""

    delay_s: float = 0.0
    slow_delay_s: float = 0.0  # of every `slow_every`-th request
    slow_every: int = 0  # 0: none
    stall_at_request: int = 0  # which request, from 1, meets a standstill first; 0: none
    stall_s: float = 0.0  # how long nothing is answered from then on
    servers: int = 0  # requests that are worked on at a time; the others queue. 0: all
    queue_limit: int = 0  # of requests in all; beyond it they are refused at once. 0: none
    changes_every: int = 0  # every n-th answer has another text; 0: none
    streams: int = 0  # live streams at a time; beyond it they are refused. 0: any number


class Full(Exception):
    """The fake takes no more requests, or no more streams."""


class Work:
    """The requests and streams of a server that behaves so."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._places = asyncio.Semaphore(behaviour.servers) if behaviour.servers else None
        self._stall_end = 0.0
        self._received = 0
        self._under_way = 0
        self._streams = 0

    async def answer(self, audio: bytes) -> str:
        """Work on a request, and return its text: the MD5 sum of the audio. Raise Full where the queue is."""
        behaviour = self._behaviour
        if behaviour.queue_limit and self._under_way >= behaviour.queue_limit:
            self._received += 1
            raise Full("Exceeds maximum queue size")
        self._under_way += 1
        try:
            number = await self.piece()
        finally:
            self._under_way -= 1
        if behaviour.changes_every and number % behaviour.changes_every == 0:
            return "something else"
        return text_of(audio)

    async def piece(self) -> int:
        """Work on one request, and return its number."""
        behaviour = self._behaviour
        self._received += 1
        number = self._received
        loop = asyncio.get_running_loop()
        if number == behaviour.stall_at_request:
            self._stall_end = loop.time() + behaviour.stall_s
        if loop.time() < self._stall_end:
            await asyncio.sleep(self._stall_end - loop.time())
        is_slow = behaviour.slow_every and number % behaviour.slow_every == 0
        delay_s = behaviour.slow_delay_s if is_slow else behaviour.delay_s
        if self._places is None:
            await asyncio.sleep(delay_s)
        else:
            async with self._places:
                await asyncio.sleep(delay_s)
        return number

    @contextmanager
    def stream(self) -> Iterator[Callable[[], None]]:
        """Hold a place for a stream; the block may free it early by a call. Raise Full where there is none."""
        if self._behaviour.streams and self._streams >= self._behaviour.streams:
            raise Full("as many streams as are taken")
        self._streams += 1
        with ExitStack() as place:
            place.callback(self._left)
            yield place.close

    def _left(self) -> None:
        self._streams -= 1


class InProcess:
    """The fake as the two callables that load generators take; to be made in the event loop that uses it."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._work = Work(behaviour)

    async def send(self, recording: Recording) -> Transcription:
        """Transcribe one recording."""
        try:
            text = await self._work.answer(recording.audio)
        except Full as full:
            raise QueueFull(str(full)) from None
        return Transcription(text, 0.5, recording.seconds)

    async def stream(self, chunks: AsyncIterator[bytes], script: Script) -> AsyncIterator[StreamResult]:
        """Answer each piece of a live stream before the next is taken, as the client does."""
        try:
            with self._work.stream() as leave:
                audio = b""
                partial = 0
                async for chunk in chunks:
                    audio += chunk
                    await self._work.piece()
                    if (words := chunks_heard(len(audio))) != partial:
                        partial = words
                        yield StreamResult("word " * words, is_final=False, stable="", seconds=seconds_of(len(audio)))
                await self._work.piece()
                leave()  # before the caller hears of the end, and begins the next stream
                seconds = seconds_of(len(audio))
                yield StreamResult(text_of(audio), True, "", seconds, start=0.0, end=seconds, confidence=0.5)
        except Full as full:
            raise QueueFull(str(full)) from None


def on_virtual_time(main: Coroutine[Any, Any, Result]) -> Result:
    """Run it in an event loop of virtual time, and return what it returns."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(main)


def text_of(audio: bytes) -> str:
    """Return the text of an answer, so that answers can be told apart."""
    return hashlib.md5(audio).hexdigest()


def seconds_of(size: int) -> float:
    """Return the length of so many bytes of a live stream."""
    return size / (2 * STREAM_RATE)


def chunks_heard(size: int) -> int:
    """Return how many chunks the server has heard in so many bytes of a live stream."""
    return max(0, int((seconds_of(size) - AFTER_S + 1e-6) / CHUNK_S))
