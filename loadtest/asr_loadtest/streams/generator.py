"""The generator of live streams: it speaks a number of them at a time, and records how each of them ends.

Each of the places speaks one recording after the other. A speaker does not wait for the server (see `playback`). When
the server refuses a stream, its place stays silent for as long as it would have spoken.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from asr_client import AsrError, StreamResult

from asr_loadtest.streams.playback import Pace, Playback, Script

# Opens a live stream for chunks of audio, and gives its results; raises AsrError.
Stream = Callable[[AsyncIterator[bytes], Script], AsyncIterator[StreamResult]]


@dataclass(slots=True)
class Session:
    """One stream. Times are seconds from the start of the load; those of its playback count from its own start."""

    recording: int  # index
    begin_s: float
    playback: Playback
    end_s: float | None = None
    error: str | None = None  # name of the error's class
    message: str | None = None  # of the error

    @property
    def text(self) -> str | None:
        """Return the transcript; None if the stream failed, or was cut short."""
        return self.playback.text if self.error is None and self.playback.is_whole else None


class StreamGenerator:
    """Speaks recordings to a server, in the running event loop.

    Args:
        stream: opens a live stream.
        scripts: what can be spoken.
        pace: of the server.
    """

    def __init__(self, stream: Stream, scripts: Sequence[Script], pace: Pace) -> None:
        self._stream, self._scripts, self._pace = stream, scripts, pace

    async def hold(
        self, begins: Sequence[float], seconds: float, order: Iterator[int], start_s: float
    ) -> list[Session]:
        """Hold as many streams at a time as there are `begins`, and return all streams when they have ended.

        Args:
            begins: when the first stream of each place begins, in seconds from `start_s`.
            seconds: when all streams are cut short, in seconds from `start_s`.
            order: indexes of recordings; the place that is free next takes the next one.
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
