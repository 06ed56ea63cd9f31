"""Events that no sane caller sends: each is answered in shape, or does what it says, and the session lives."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from asr_client import ModelInfo, ServerUnavailable, StreamResult
from asr_gateway.realtime.machine import Find, Machine
from asr_gateway.realtime.settings import Settings
from asr_gateway.realtime.work import Begin, Flush
from realtime_app import LIVE, SOUND, WHISPER, WHOLE, Talker, append, gateway, session, talking

BETA = {"input_audio_format": "g711_alaw", "input_audio_transcription": {"model": "asr"}, "turn_detection": None}
SANE: list[dict[str, Any]] = [
    session(turn_detection={"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500}),
    session(turn_detection=None, transcription={"model": "whisper-1", "languages": ["en", "de"], "keywords": ["a"]}),
    {"type": "transcription_session.update", "session": BETA},
    append(SOUND),
    {"type": "input_audio_buffer.commit", "event_id": "mine"},
    {"type": "input_audio_buffer.clear"},
    {"type": "response.create", "response": {"modalities": ["text"]}},
    {"type": "conversation.item.delete", "item_id": "item_1"},
]
ODD: list[Any] = [
    None, True, 0, -1, 1e308, 10**400, "", "a", "\0", "\ud800", "audio/pcm", "ä" * 50, "A" * 9, [], [[]], {"type": 0},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to each value within a JSON value."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def mutated(event: Any, chance: random.Random) -> Any:
    """The event with something else in one of its places, or without it."""
    event = json.loads(json.dumps(event))
    ways = [path for path in places(event) if path]
    if not ways:
        return chance.choice(ODD)
    *way, last = chance.choice(ways)
    inner = event
    for key in way:
        inner = inner[key]
    if chance.random() < 0.3:
        del inner[last]
    else:
        inner[last] = chance.choice(ODD)
    return event


def message(chance: random.Random) -> str | bytes:
    """Something that a caller sends."""
    event: Any = chance.choice(SANE)
    for _ in range(chance.choice((0, 1, 1, 2))):
        event = mutated(event, chance)
    if chance.random() < 0.05:
        event = chance.choice(ODD)
    text = json.dumps(event)
    match chance.randrange(40):
        case 0:
            return text[: chance.randrange(len(text))]
        case 1:
            return text.encode("utf-8", "surrogateescape")
        case 2:
            place = chance.randrange(len(text))
            return text[:place] + chance.choice('{}[]",:\\\0é') + text[place:]
        case _:
            return text


def is_in_shape(event: Any) -> bool:
    """Whether an event is one that SDKs can read."""
    assert isinstance(event["type"], str)
    assert event["event_id"].startswith("event_")
    json.dumps(event).encode()
    if event["type"] == "error":
        error = event["error"]
        assert set(error) == {"type", "code", "message", "param", "event_id"}
        assert len(error["message"]) < 1000
    return True


class Server:
    """Hears for a machine, and fails at times; it answers each flush, as servers do."""

    def __init__(self, machine: Machine, chance: random.Random) -> None:
        self.machine = machine
        self.chance = chance
        self.flushes = 0

    def take(self, outputs: list[Any]) -> list[Any]:
        events = []
        for output in outputs:
            match output:
                case Find():
                    events += self.take(self.machine.found(self.model()))
                case Begin():
                    self.machine.begun(output, 0.0)
                case Flush():
                    self.flushes += 1
                case dict():
                    events.append(output)
        return events

    def model(self) -> ModelInfo:
        return self.chance.choice((LIVE, WHISPER, WHOLE))

    def hear(self) -> list[Any]:
        text = " ".join(self.chance.choices(("a", "b", "c"), k=self.chance.randrange(4)))
        match self.chance.randrange(8):
            case 0 if self.flushes:
                flushes, self.flushes = self.flushes, 0
                return self.take(self.machine.lost(ServerUnavailable("away"), flushes))
            case 1 if self.flushes:
                self.flushes -= 1
                return self.take(self.machine.heard(StreamResult(text, True, text, 1.0, end=1.0, flushed=True)))
            case 2 if text:
                return self.take(self.machine.heard(StreamResult(text, True, text, 1.0, start=0.5, end=1.0)))
            case 3:
                return self.take(self.machine.ended(1.0))
            case _:
                start = self.chance.choice((None, 0.5))
                return self.take(self.machine.heard(StreamResult(text, False, text[:-2], 1.0, start=start)))


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_messages_to_a_machine(seed: int) -> None:
    chance = random.Random(seed)
    machine = Machine("x", Settings(), LIVE, 2000, lambda: None)
    server = Server(machine, chance)
    committed: list[str] = []
    answered: list[str] = []
    for _ in range(1000):
        events = server.take(machine.received(message(chance)))
        if chance.random() < 0.5:
            events += server.hear()
        assert all(map(is_in_shape, events))
        committed += [event["item_id"] for event in events if event["type"].endswith(".committed")]
        answered += [event["item_id"] for event in events if event["type"].endswith((".completed", ".failed"))]
    while server.flushes:
        events = server.hear()
        committed += [event["item_id"] for event in events if event["type"].endswith(".committed")]
        answered += [event["item_id"] for event in events if event["type"].endswith((".completed", ".failed"))]
    assert committed  # a few of them made sense
    assert set(committed) <= set(answered)
    assert len(set(answered)) == len(answered)


def test_hundreds_of_messages_to_a_socket() -> None:
    chance = random.Random(1)
    with gateway() as http, talking(http) as talker:
        for _ in range(500):
            said = message(chance)
            (talker.socket.send_bytes if isinstance(said, bytes) else talker.socket.send_text)(said)
        talker.send({"type": "the end", "event_id": "last"})
        assert_ends_well(talker)
        assert http.get("/v1/models").status_code == 200


def assert_ends_well(talker: Talker) -> None:
    errors = 0
    while True:
        event = talker.next()
        assert is_in_shape(event)
        errors += event["type"] == "error"
        if event["type"] == "error" and event["error"]["event_id"] == "last":
            break
    assert errors > 100
