"""A transcript as a stream of server-sent events: its text as it comes.

    data: {"type":"transcript.text.delta","delta":" THAT EMPTY"}
    data: {"type":"transcript.text.done","text":"…","usage":{…}}
    data: [DONE]

Of diarized_json, each segment is an event before the delta with its text:

    data: {"type":"transcript.text.segment","id":"seg_0","start":0.4,"end":2.9,"text":"…","speaker":"0"}

Until the first event there is an answer of HTTP for an error; after it, an event with the error ends the stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from asr_client import AsrError, Segment, Transcription
from starlette.types import Send

from asr_gateway import answers, decoding, errors
from asr_gateway.forms import DIARIZED, Form

DONE = "[DONE]"
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would keep events back
}

Transcribe = Callable[[Callable[[Transcription], None]], Awaitable[Transcription]]
Event = dict[str, Any]


async def send_all(send: Send, events: AsyncGenerator[Event, None]) -> AsrError | None:
    """Send the events, and an error that comes after the first one, which is returned.

    Raises:
        AsrError: there was an error before the first event, so that nothing is sent.
    """
    failure: AsrError | None = None
    async with aclosing(events):
        event = await anext(events)
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            await _send(send, event)
            async for event in events:
                await _send(send, event)
            await _send(send, DONE)
        except AsrError as error:
            failure = error
            await _send(send, errors.of_client(error).body())
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    return failure


async def of_transcription(form: Form, transcribe: Transcribe) -> AsyncGenerator[Event, None]:
    """Yield the events of a transcript.

    Args:
        form: says whether there are log-probs.
        transcribe: gives the transcript, and calls its argument with each segment of a long recording.
    """
    segments: asyncio.Queue[Transcription | None] = asyncio.Queue()
    working = asyncio.ensure_future(transcribe(segments.put_nowait))
    working.add_done_callback(lambda _: segments.put_nowait(None))
    deltas = _Deltas()
    told = 0  # segments
    try:
        while (segment := await segments.get()) is not None:
            if part := deltas.of(segment):
                for event in _diarized(form, part.segments, told):
                    yield event
                told += len(part.segments)
                yield _event("delta", "delta", form, part)
        whole = working.result()
        for event in _diarized(form, whole.segments[told:], told):
            yield event
        if rest := deltas.rest(whole):
            yield _event("delta", "delta", form, rest)
        yield {**_event("done", "text", form, whole), "usage": answers.usage(whole.duration)}
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def _diarized(form: Form, segments: Sequence[Segment], first: int) -> list[Event]:
    """Return the events of segments, of which the first one has this number."""
    if form.format != DIARIZED:
        return []
    return [answers.diarized_segment(number, segment) for number, segment in enumerate(segments, first)]


class _Deltas:
    """Turns segments into parts of the text: together they are the text, without white space at its ends."""

    def __init__(self) -> None:
        self._sent = ""
        self._space = ""  # at the end of what came; it is sent if there is more text
        self._done_s = -1.0

    def of(self, segment: Transcription) -> Transcription | None:
        """Return the part of the text that a segment adds; None if it adds nothing."""
        # A server that ended is replaced by another one, and the recording begins again.
        if segment.duration <= self._done_s:
            return None
        self._done_s = segment.duration
        text = self._space + segment.text
        if not self._sent:
            text = text.lstrip()
        part = text.rstrip()
        self._space = text[len(part) :]
        self._sent += part
        return replace(segment, text=part) if part else None

    def rest(self, whole: Transcription) -> Transcription | None:
        """Return what the whole text has more than the segments had; None if that is nothing."""
        rest = whole.text.removeprefix(self._sent) if whole.text.startswith(self._sent) else ""
        if not rest:
            return None
        return whole if rest == whole.text else replace(whole, text=rest, words=())


def _event(kind: str, field: str, form: Form, said: Transcription) -> Event:
    event: Event = {"type": f"transcript.text.{kind}", field: said.text}
    if decoding.has_logprobs(form):
        event["logprobs"] = answers.logprobs(said)
    return event


async def _send(send: Send, event: Event | str) -> None:
    await send({"type": "http.response.body", "body": answers.line(event), "more_body": True})
