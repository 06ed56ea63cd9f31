"""Lets servers hear what a session wants to be heard, one piece after the other."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO

from asr_client import FLUSH, AsrError, StreamResult
from asr_client import Flush as FlushChunk

from asr_gateway import errors
from asr_gateway.metrics import Metrics
from asr_gateway.models import Models
from asr_gateway.realtime.formats import SAMPLE_BYTES
from asr_gateway.realtime.machine import Machine, Output
from asr_gateway.realtime.work import Backlog, Begin, Flush, Push

_PAUSE_S = 1.0  # after a server has failed; audio that comes meanwhile is lost
_IN_MEMORY_BYTES = 2**20  # of a recording; more of it is in a file
_logger = logging.getLogger("asr_gateway")

Tell = Callable[[Callable[[], Sequence[Output]]], Awaitable[None]]


class Listener:
    """Does the work of one session.

    Args:
        machine: of the session; it gets the results.
        backlog: the work; it begins with a `Begin`.
        tell: calls its argument, and sends what it returns.
        models: to hear with.
        metrics: counts.
        request_id: of the session, for the log.
    """

    def __init__(
        self, machine: Machine, backlog: Backlog, tell: Tell, models: Models, metrics: Metrics, request_id: str
    ) -> None:
        self._machine = machine
        self._backlog = backlog
        self._tell = tell
        self._models = models
        self._metrics = metrics
        self._request_id = request_id
        self._heard_s = 0.0  # of the session's audio, by this server and those before

    async def run(self) -> None:
        """Work until the task is cancelled."""
        begin = await self._backlog.get()
        assert isinstance(begin, Begin)
        while True:
            self._machine.begun(begin, self._heard_s)
            begin = await (self._live(begin) if begin.model.takes_streams else self._recordings(begin))

    async def _live(self, begin: Begin) -> Begin:
        """Let a live model hear until the settings change, and return the new ones."""
        chunks = _Chunks(self._backlog, partial(self._count, begin))
        results = self._models.client(begin.model).stream(
            chunks,
            sampling_rate=begin.rate,
            silence_ms=begin.turns.silence_ms if begin.turns else None,
            options=begin.options,
        )
        try:
            async with aclosing(results):
                async for result in results:
                    chunks.flushes -= result.flushed
                    await self._tell(partial(self._machine.heard, result))
        except AsrError as error:
            self._log(error)
            await self._tell(partial(self._machine.lost, error, chunks.flushes))
            return chunks.next or await self._after(error, begin)
        await self._tell(partial(self._machine.ended, self._heard_s))
        assert chunks.next is not None  # nothing else ends the chunks
        return chunks.next

    async def _recordings(self, begin: Begin) -> Begin:
        """Let a model hear each recording as a whole until the settings change, and return the new ones."""
        with SpooledTemporaryFile(_IN_MEMORY_BYTES) as recording:
            while True:
                match await self._backlog.get():
                    case Begin() as following:
                        return following
                    case Push(audio):
                        recording.write(audio)
                        self._heard_s += _seconds(begin, audio)
                    case Flush(is_wanted):
                        await self._recording(begin, recording if is_wanted else None)
                        recording.seek(0)
                        recording.truncate()

    async def _recording(self, begin: Begin, recording: IO[bytes] | None) -> None:
        """Tell the text of a recording; without one, that it is forgotten."""
        text = ""
        if recording is not None:
            recording.seek(0)
            try:
                heard = await self._models.client(begin.model).transcribe(
                    recording,
                    sampling_rate=begin.rate,
                    encoding="pcm_s16le",
                    options=begin.options,
                )
            except AsrError as error:
                self._log(error)
                await self._tell(partial(self._machine.flush_failed, error))
                return
            text = heard.text
            self._metrics.heard(begin.model.name, heard.duration)
        result = StreamResult(text, is_final=True, stable=text, seconds=0.0, flushed=True)
        await self._tell(partial(self._machine.heard, result))

    async def _after(self, error: AsrError, begin: Begin) -> Begin:
        """Leave out the audio of a moment, and return how to go on; what cannot work is not tried again."""
        is_hopeless = errors.of_client(error).status < 500
        end_s = math.inf if is_hopeless else asyncio.get_running_loop().time() + _PAUSE_S
        has_failed = is_hurt = False  # an item has failed, and the next one has lost audio
        while (work := await self._backlog.get_until(end_s)) is not None:
            match work:
                case Begin() as following:
                    return following
                case Push(audio):
                    self._heard_s += _seconds(begin, audio)
                    is_hurt = has_failed
                case Flush():
                    await self._tell(partial(self._machine.flush_failed, error))
                    has_failed, is_hurt = True, False
        if is_hurt:
            await self._tell(partial(self._machine.lost, error, 0))
        return begin

    def _count(self, begin: Begin, audio: bytes) -> None:
        seconds = _seconds(begin, audio)
        self._heard_s += seconds
        self._metrics.heard(begin.model.name, seconds)

    def _log(self, error: AsrError) -> None:
        told = errors.of_client(error)
        level = logging.WARNING if told.status >= 500 else logging.INFO
        _logger.log(level, "request %s: %s: %s", self._request_id, told.code, error)


class _Chunks:
    """The chunks of a live stream: work up to the next `Begin`.

    Args:
        backlog: of the work.
        on_audio: called with the samples of each chunk.

    Attributes:
        flushes: how many have been given.
        next: the `Begin` that has ended the chunks.
    """

    def __init__(self, backlog: Backlog, on_audio: Callable[[bytes], None]) -> None:
        self._backlog = backlog
        self._on_audio = on_audio
        self.flushes = 0
        self.next: Begin | None = None

    def __aiter__(self) -> "_Chunks":
        return self

    async def __anext__(self) -> bytes | FlushChunk:
        match await self._backlog.get():
            case Begin() as following:
                self.next = following
                raise StopAsyncIteration
            case Push(audio):
                self._on_audio(audio)
                return audio
            case Flush():
                self.flushes += 1
                return FLUSH


def _seconds(begin: Begin, audio: bytes) -> float:
    return len(audio) / SAMPLE_BYTES / begin.rate
