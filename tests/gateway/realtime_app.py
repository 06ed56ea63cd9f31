"""The Realtime API on a fake server, and its callers."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from asr_client import ModelInfo, StreamResult
from asr_client._calls.protocol import Infer, Piece
from asr_client.testing import MockTransport
from asr_contract.parameters import DISCARD, FLUSH
from asr_gateway.app import GatewayOptions
from gateway_app import HELLO, app
from starlette.testclient import TestClient

LIVE = ModelInfo("asr", takes_long=True, takes_streams=True, knows_languages=False)
WHISPER = ModelInfo("whisper", takes_long=True, takes_streams=True, knows_languages=True)
WHOLE = ModelInfo("whole", takes_long=True, takes_streams=False, knows_languages=False)
TRANSCRIPTION = "conversation.item.input_audio_transcription"
URL = "ws://localhost/v1/realtime"
RATE = 8_000  # Hz; of the callers here
SOUND = np.full(RATE // 10, 1000, "<i2").tobytes()  # 0.1 s
SILENCE = bytes(len(SOUND))


class Voice:
    """A live model that hears a word in each piece with sound. Silence and a flush end the segment."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.under_way: dict[int, list[str]] = {}  # the words of the segment, of each stream
        self._seconds: dict[int, float] = {}

    def __call__(self, piece: Piece) -> Iterator[StreamResult]:
        self.pieces.append(piece)
        words = self.under_way.setdefault(piece.sequence, [])
        rate = piece.parameters.get("sample_rate", RATE)
        seconds = self._seconds.get(piece.sequence, 0.0) + len(piece.audio) / 2 / float(rate)
        self._seconds[piece.sequence] = seconds
        has_sound = any(piece.audio)
        if has_sound:
            words.append(f"word{len(words) + 1}")
        text = " ".join(words)
        if words and (not has_sound or piece.is_last or FLUSH in piece.parameters):
            yield StreamResult(text, True, text, seconds, start=0.0, end=seconds, confidence=1.0)
            words.clear()
        elif words:
            yield StreamResult(text, False, " ".join(words[:-1]), seconds, start=0.0)
        if piece.is_last or DISCARD in piece.parameters:
            del self.under_way[piece.sequence]


class Server(MockTransport):
    """A server with a model for live audio, a Whisper, and a model for whole recordings."""

    def __init__(self, live: Any = None) -> None:
        self.live = live or Voice()
        self.seen: list[Infer] = []
        super().__init__(self._heard, lambda piece: self.live(piece), models=[LIVE, WHISPER, WHOLE])

    def _heard(self, request: Infer) -> Any:
        self.seen.append(request)
        return HELLO


class Talker:
    """A caller with an open socket."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    def send(self, event: Any) -> None:
        self.socket.send_text(json.dumps(event))

    def next(self) -> Any:
        """The next event."""
        return self.socket.receive_json()

    def until(self, kind: str) -> list[Any]:
        """The events up to one of this type."""
        events = [self.next()]
        while events[-1]["type"] != kind:
            events.append(self.next())
        return events

    def update(self, **audio: Any) -> Any:
        """Change the settings, and return the session."""
        self.send(session(**audio))
        answer = self.next()
        assert answer["type"] == "session.updated", answer
        return answer["session"]

    def say(self, *audio: bytes) -> None:
        for part in audio:
            self.send(append(part))

    def commit(self) -> None:
        self.send({"type": "input_audio_buffer.commit"})

    def completed(self) -> Any:
        """The item that is completed next; its deltas are its transcript."""
        events = self.until(f"{TRANSCRIPTION}.completed")
        deltas = [event["delta"] for event in events if event["type"] == f"{TRANSCRIPTION}.delta"]
        assert "".join(deltas) == events[-1]["transcript"]
        return events[-1]


@contextmanager
def gateway(
    transport: Any = None, options: GatewayOptions | None = None, keys: Path | None = None
) -> Iterator[TestClient]:
    """The app on a fake server."""
    served = app((transport or Server()).asynchronous(), options, keys)
    with TestClient(served, base_url="http://localhost") as http:
        yield http


@contextmanager
def talking(http: TestClient, query: str = "intent=transcription", **handshake: Any) -> Iterator[Talker]:
    """A caller whose session has been created."""
    with http.websocket_connect(f"{URL}?{query}", **handshake) as socket:
        talker = Talker(socket)
        assert talker.next()["type"].endswith("session.created")
        yield talker


def session(**audio: Any) -> dict[str, Any]:
    """The event that sets fields of `session.audio.input`; the rate is RATE unless a format says otherwise."""
    given = {"format": {"type": "audio/pcm", "rate": RATE}, **audio}
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": given}}}


def append(audio: bytes) -> dict[str, Any]:
    return {"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()}


def kinds(events: Sequence[Any]) -> list[str]:
    """The types of events, without what they have in common."""
    return [event["type"].removeprefix(f"{TRANSCRIPTION}.").removeprefix("input_audio_buffer.") for event in events]
