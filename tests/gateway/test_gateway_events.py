"""The stream of events: what is joined is the text."""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from asr_client import AsrError, QueueFull, ServerUnavailable, Transcription, Word
from asr_client._calls.protocol import Infer
from asr_gateway import events
from gateway_app import Service, service
from test_gateway_answers import form


def part(text: str, done_s: float) -> Transcription:
    return Transcription(text, 0.5, done_s)


def run(segments: Sequence[Transcription], end: Transcription | AsrError, **fields: Any) -> list[dict[str, Any]]:
    """The messages that a server gets."""

    async def transcribe(on_segment: Callable[[Transcription], None]) -> Transcription:
        for segment in segments:
            on_segment(segment)
            await asyncio.sleep(0)
        if isinstance(end, AsrError):
            raise end
        return end

    async def sent() -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            messages.append(message)

        await events.send_all(send, events.of_transcription(form(is_streamed=True, **fields), transcribe))
        return messages

    return asyncio.run(sent())


def read(body: bytes) -> list[Any]:
    """The data of the events; the last one is no JSON."""
    lines = body.decode().split("\n\n")
    assert lines[-1] == ""
    assert all(line.startswith("data: ") for line in lines[:-1])
    data = [line.removeprefix("data: ") for line in lines[:-1]]
    return [one if one == events.DONE else json.loads(one) for one in data]


def told(*arguments: Any, **fields: Any) -> list[Any]:
    return read(b"".join(message.get("body", b"") for message in run(*arguments, **fields)))


def deltas(said: Sequence[Any]) -> list[str]:
    return [event["delta"] for event in said if event != events.DONE and event.get("type") == "transcript.text.delta"]


def test_a_short_recording_is_one_delta(called: Service) -> None:
    answer = called.post(stream="true")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"]
    assert read(answer.content) == [
        {"type": "transcript.text.delta", "delta": "hello world"},
        {"type": "transcript.text.done", "text": "hello world", "usage": {"type": "duration", "seconds": 2}},
        events.DONE,
    ]


def test_segments_are_deltas_whose_sum_is_the_text() -> None:
    segments = [part(" one ", 1), part("", 2), part("two", 3), part(" three", 4), part(" ", 5)]
    said = told(segments, part("one two three", 5))
    assert deltas(said) == ["one", " two", " three"]
    assert said[-2]["text"] == "".join(deltas(said))


def test_a_recording_that_began_again_is_not_told_twice() -> None:
    segments = [part("one", 1), part(" two", 2), part("one", 1), part(" two", 2), part(" three", 3)]
    assert deltas(told(segments, part("one two three", 3))) == ["one", " two", " three"]


def test_silence_has_an_end() -> None:
    assert [event["type"] for event in told([], part("", 3))[:-1]] == ["transcript.text.done"]


def test_log_probs_come_with_each_delta() -> None:
    one = Transcription("one", 1.0, 1, (Word("one", 0, 1, 1.0),))
    two = Transcription(" two", 1.0, 2, (Word("two", 1, 2, 1.0),))
    both = Transcription("one two", 1.0, 2, (*one.words, *two.words))
    said = told([one, two], both, wants_logprobs=True)
    tokens = [token["token"] for event in said[:2] for token in event["logprobs"]]
    assert tokens == [token["token"] for token in said[2]["logprobs"]] == ["one", " two"]


def test_an_error_after_the_first_event_is_an_event() -> None:
    *_, delta, error = told([part("one", 1)], ServerUnavailable("127.0.0.1:8001 is away"))
    assert delta["delta"] == "one"
    assert error["error"]["code"] == "server_unavailable"
    assert "127.0.0.1" not in error["error"]["message"]


def test_an_error_before_it_is_an_answer_of_http() -> None:
    def refuse(request: Infer) -> Transcription:
        raise QueueFull("127.0.0.1:8001 has too much to do")

    with service(refuse) as called:
        answer = called.post(stream="true")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_overloaded")
