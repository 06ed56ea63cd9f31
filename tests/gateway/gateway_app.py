"""The gateway's app on a fake server, and its callers."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr_client import AsyncClient, ModelInfo, RetryPolicy, Transcription, Word
from asr_client._calls.protocol import Infer
from asr_client.testing import MockTransport
from asr_gateway.app import GatewayOptions, create_app
from asr_gateway.keys import Keys
from starlette.testclient import TestClient

WORDS = (Word("hello", 0.25, 0.5, 0.75), Word("world", 0.625, 1.25, 1.0))
HELLO = Transcription("hello world", 0.875, 1.5, WORDS)
HALLO = Transcription("Hallo, Welt!", 0.5, 1.5, (Word(" Hallo,", 0.25, 0.5, 0.5), Word(" Welt!", 0.5, 1.0, 0.5)), "de")
CTC, WHISPER = "asr", "whisper"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
BOUNDARY = "b0undary"

Handler = Callable[[Infer], Transcription]


def hello(request: Infer) -> Transcription:
    """What the fake server says."""
    return HALLO if request.model.startswith(WHISPER) else HELLO


class Kit(MockTransport):
    """A server with a CTC model and a Whisper, which keeps what it was asked."""

    def __init__(self, handler: Handler = hello) -> None:
        super().__init__(self._heard, models=[ModelInfo(CTC, True, True, False), ModelInfo(WHISPER, True, True, True)])
        self.handler = handler
        self.seen: list[Infer] = []

    def _heard(self, request: Infer) -> Transcription:
        self.seen.append(request)
        return self.handler(request)


@dataclass
class Service:
    """The app for callers in this process."""

    http: TestClient
    kit: Kit

    def post(self, path: str = TRANSCRIPTIONS, more: Mapping[str, Any] | None = None, **fields: Any) -> Any:
        """Send a recording with these fields; `more` has those whose names have brackets, and lists."""
        return self.http.post(
            path, data={**fields, **(more or {})}, files={"file": ("hello.wav", b"RIFF", "audio/wav")}
        )


@contextmanager
def service(
    handler: Handler = hello, options: GatewayOptions | None = None, keys: Path | None = None
) -> Iterator[Service]:
    """The app on a fake server."""
    kit = Kit(handler)
    with TestClient(app(kit.asynchronous(), options, keys), base_url="http://localhost") as http:
        yield Service(http, kit)


def app(transport: Any, options: GatewayOptions | None = None, keys: Path | None = None) -> Any:
    """The app on a transport."""
    client = AsyncClient(transport=transport, retry=RetryPolicy(max_attempts=1))
    return create_app(client, options or GatewayOptions(), Keys(keys))


def form(fields: Mapping[str, str] | None = None, audio: bytes = b"RIFF") -> bytes:
    """The body of a request, whose boundary is BOUNDARY."""
    parts = [f'"{name}"\r\n\r\n{value}'.encode() for name, value in (fields or {}).items()]
    parts.append(b'"file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n' + audio)
    head = f"--{BOUNDARY}\r\ncontent-disposition: form-data; name=".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


class Caller:
    """One request, message by message, as a server passes them to an ASGI app; within a running event loop."""

    def __init__(self, app: Any, headers: Mapping[str, str] | None = None) -> None:
        content = {"host": "localhost", "content-type": f"multipart/form-data; boundary={BOUNDARY}", **(headers or {})}
        self.sent: list[dict[str, Any]] = []
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": TRANSCRIPTIONS,
            "query_string": b"",
            "client": ("192.0.2.1", 1234),
            "headers": [(name.encode(), value.encode()) for name, value in content.items()],
        }
        self.answering = asyncio.ensure_future(app(scope, self._incoming.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def upload(self, data: bytes, more: bool = False) -> "Caller":
        """Send a part of the body, the last one unless there is `more`."""
        self._incoming.put_nowait({"type": "http.request", "body": data, "more_body": more})
        return self

    def go(self) -> None:
        """Close the connection."""
        self._incoming.put_nowait({"type": "http.disconnect"})

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)
