"""Holds a number of live streams, each as fast as it is spoken, and writes down what became of them.

One after the other, recordings are spoken in each of so many places. A speaker does not wait for the server (see
`playback`); what the server refuses is left out, and its place stays silent for as long as it would have spoken.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from asr_client import AsrError, StreamResult

from asr_loadtest.streams.playback import Pace, Playback, Script

# What one chunk after the other makes of a stream.
Stream = Callable[[AsyncIterator[bytes], Script], AsyncIterator[StreamResult]]


@dataclass(slots=True)
class Session:
    """One stream. Times are seconds from the start of the load, but for those of its playback."""

    recording: int  # index
    begin_s: float
    playback: Playback
    end_s: float | None = None
    error: str | None = None  # name of the error's class
    message: str | None = None  # its words

    @property
    def text(self) -> str | None:
        """What was heard; None of a stream that failed or was cut short."""
        return self.playback.text if self.error is None and self.playback.is_whole else None


class StreamGenerator:
    """Speaks recordings to a server, in the running event loop.

    Args:
        stream: opens a live stream; what it gives raises AsrError.
        scripts: what can be said.
        pace: of the server.
    """

    def __init__(self, stream: Stream, scripts: Sequence[Script], pace: Pace) -> None:
        self._stream, self._scripts, self._pace = stream, scripts, pace

    async def hold(
        self, begins: Sequence[float], seconds: float, order: Iterator[int], start_s: float
    ) -> list[Session]:
        """As many streams at a time as there are `begins`; returns when all have ended.

        Args:
            begins: when each place has its first stream, in seconds from `start_s`.
            seconds: from `start_s`, after which no stream goes on.
            order: the recordings, taken by whichever place is free next.
            start_s: by the clock of the event loop.
        """
        loop = asyncio.get_running_loop()
        sessions: list[Session] = []

        async def place(begin_s: float) -> None:
            while begin_s < seconds:
                await asyncio.sleep(max(0.0, start_s + begin_s - loop.time()))
                recording = next(order)
                script = self._scripts[recording]
                begin_s = loop.time() - start_s
                session = Session(recording, begin_s, Playback(script, self._pace, loop.time))
                sessions.append(session)
                await self._play(session, seconds - begin_s)
                session.end_s = loop.time() - start_s
                begin_s = max(begin_s + script.seconds, session.end_s)

        await asyncio.gather(*map(place, begins))
        return sessions

    async def _play(self, session: Session, until_s: float) -> None:
        playback = session.playback
        try:
            async for result in self._stream(playback.async_pieces(until_s), playback.script):
                playback.hear(result)
        except AsrError as error:
            session.error, session.message = type(error).__name__, str(error)
