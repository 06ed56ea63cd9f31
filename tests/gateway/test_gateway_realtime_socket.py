"""Sockets of the Realtime API, on a fake server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asr_client import InvalidRequest, OptionRefused, QueueFull, ServerUnavailable, StreamResult
from asr_client._calls.protocol import Piece
from asr_client.testing import AsyncMockStream
from asr_gateway.app import GatewayOptions
from asr_gateway.keys import add
from asr_gateway.limits import LimitOptions
from asr_gateway.realtime.work import Backlog, Flush, Push
from gateway_app import app
from known_delays import on_virtual_time
from realtime_app import (
    SILENCE,
    SOUND,
    TRANSCRIPTION,
    URL,
    Server,
    Talker,
    Voice,
    append,
    gateway,
    kinds,
    session,
    talking,
)
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect


@pytest.fixture
def http() -> Iterator[TestClient]:
    with gateway() as running:
        yield running


@pytest.fixture
def talker(http: TestClient) -> Iterator[Talker]:
    with talking(http) as connected:
        connected.update()
        yield connected


def limited(**limits: Any) -> GatewayOptions:
    return GatewayOptions(limits=LimitOptions(**limits))


def refused(http: TestClient, query: str = "", **handshake: Any) -> Any:
    """The answer to a handshake."""
    with (
        pytest.raises(WebSocketDenialResponse) as denial,
        http.websocket_connect(f"{URL}{query}", **handshake),
    ):
        pass
    return denial.value


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, json.loads(answer.content)["error"]["code"]


def figure(http: TestClient, name: str) -> float:
    """A figure of the metrics."""
    line = next(line for line in http.get("/metrics").text.splitlines() if line.startswith(name))
    return float(line.rpartition(" ")[2])


def test_turns(talker: Talker) -> None:
    talker.update(transcription={"delay": "minimal"})
    talker.say(SOUND, SOUND, SOUND, SILENCE, SOUND, SILENCE)
    events = talker.until(f"{TRANSCRIPTION}.completed")
    assert kinds(events)[:3] == ["speech_started", "delta", "delta"]
    assert events[-1]["transcript"] == "word1 word2 word3"
    assert talker.completed()["transcript"] == "word1"


def test_a_commit_by_hand(talker: Talker) -> None:
    talker.update(turn_detection=None)
    talker.say(SOUND, SOUND, SILENCE, SOUND)
    talker.commit()
    assert talker.next()["type"] == "input_audio_buffer.committed"
    assert talker.completed()["transcript"] == "word1 word2 word1"


def test_settings_change_during_the_session(talker: Talker) -> None:
    talker.say(SOUND)
    assert talker.next()["type"] == "input_audio_buffer.speech_started"
    talker.update(turn_detection=None)
    talker.say(SOUND)
    assert talker.completed()["transcript"] == "word1"  # what was being said
    talker.commit()
    assert talker.completed()["transcript"] == "word1"


def test_two_models_one_after_the_other(http: TestClient) -> None:
    with talking(http) as talker:
        talker.update(turn_detection=None)
        for model, text in (("asr", "word1"), ("whole", "hello world")):
            talker.update(transcription={"model": model})
            talker.say(SOUND)
            talker.commit()
            assert talker.completed()["transcript"] == text


def test_a_model_without_a_live_one_hears_each_recording() -> None:
    server = Server()
    with gateway(server) as http, talking(http, "model=whole") as talker:
        talker.update()
        for _ in range(2):
            talker.say(SOUND, SOUND)
            talker.commit()
            assert talker.completed()["transcript"] == "hello world"
        talker.say(SOUND)
        talker.send({"type": "input_audio_buffer.clear"})
        talker.say(SILENCE)
        talker.commit()
        talker.completed()
    assert [request.audio for request in server.seen] == [2 * SOUND, 2 * SOUND, SILENCE]
    assert server.seen[0].parameters["encoding"] == "pcm_s16le"
    assert server.seen[0].parameters["sample_rate"] == 8000


def test_such_a_recording_fails_alone() -> None:
    class Failing(Server):
        def _heard(self, request: Any) -> Any:
            self.seen.append(request)
            if len(self.seen) == 1:
                raise InvalidRequest("at 10.0.0.1: too short", public="the recording is too short")
            return super()._heard(request)

    with gateway(Failing()) as http, talking(http, "model=whole") as talker:
        talker.update()
        for _ in range(2):
            talker.say(SOUND)
            talker.commit()
        events = talker.until(f"{TRANSCRIPTION}.failed")
        assert events[-1]["error"]["message"] == "the recording is too short"
        assert talker.completed()["transcript"] == "hello world"
        assert figure(http, 'asr_gateway_items_total{reason="invalid_audio"}') == 1
        assert figure(http, 'asr_gateway_items_total{reason="ok"}') == 1


def test_binary_messages_are_errors_and_the_socket_stays(talker: Talker) -> None:
    talker.socket.send_bytes(SOUND)
    assert talker.next()["error"]["code"] == "invalid_message"
    talker.say(SOUND, SILENCE)
    assert talker.completed()["transcript"] == "word1"


def test_an_unknown_model_is_an_error_and_the_socket_stays(talker: Talker) -> None:
    talker.send({**session(transcription={"model": "gpt-9"}), "event_id": "mine"})
    error = talker.next()["error"]
    assert (error["code"], error["event_id"]) == ("model_not_found", "mine")
    assert "asr" in error["message"]
    talker.say(SOUND, SILENCE)
    assert talker.completed()["transcript"] == "word1"


class Trouble(Voice):
    """A live model that fails at its first piece, and then works."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def __call__(self, piece: Piece) -> Iterator[StreamResult]:
        if not self.pieces:
            self.pieces.append(piece)
            raise self.error
        yield from super().__call__(piece)


def test_a_server_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr_gateway.realtime.listening._PAUSE_S", 0.0)
    with gateway(Server(Trouble(ServerUnavailable("10.0.0.1 is away")))) as http, talking(http) as talker:
        talker.update()
        talker.say(SOUND)
        event = talker.next()
        assert event["error"]["code"] == "server_unavailable"
        assert "10.0.0.1" not in json.dumps(event)
        talker.say(SOUND, SILENCE)
        assert talker.completed()["transcript"] == "word1"


def test_an_option_that_no_server_takes_is_one_error_until_it_changes() -> None:
    voice = Trouble(OptionRefused("unknown hotword", public="hotwords has a character that the model cannot write"))
    with gateway(Server(voice)) as http, talking(http) as talker:
        talker.update(transcription={"keywords": ["日本"]})
        talker.say(SOUND, SOUND, SOUND)
        assert talker.next()["error"]["code"] == "unsupported_value"
        talker.commit()
        assert kinds(talker.until(f"{TRANSCRIPTION}.failed"))[0] == "committed"
        talker.update(transcription={"keywords": []})
        talker.say(SOUND, SILENCE)
        assert talker.completed()["transcript"] == "word1"


def test_commits_in_a_pause_after_a_failure_fail_and_what_is_left_of_the_next_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asr_gateway.realtime.listening._PAUSE_S", 0.5)
    with gateway(Server(Trouble(QueueFull("full")))) as http, talking(http) as talker:
        talker.update(turn_detection=None)
        talker.say(SOUND)
        assert talker.next()["error"]["code"] == "server_overloaded"
        talker.say(SOUND)
        talker.commit()
        talker.say(SOUND)
        assert talker.until(f"{TRANSCRIPTION}.failed")[-1]["error"]["code"] == "server_overloaded"
        assert talker.next()["type"] == "error"  # the pause is over, and it has cost audio
        talker.say(SOUND)
        talker.commit()
        assert talker.until(f"{TRANSCRIPTION}.failed")
        talker.say(SOUND)
        talker.commit()
        assert talker.completed()["transcript"] == "word1"


def test_a_caller_who_goes_ends_the_stream(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    async def close(stream: AsyncMockStream) -> None:
        closed.append(stream)

    monkeypatch.setattr(AsyncMockStream, "aclose", close)
    with talking(http) as talker:
        talker.update()
        talker.say(SOUND, SOUND)
        talker.until("input_audio_buffer.speech_started")
        assert not closed
        assert figure(http, "asr_gateway_sockets ") == 1
        talker.socket.close()
        while figure(http, "asr_gateway_sockets "):
            pass
        assert len(closed) == 1
        counted = 'asr_gateway_requests_total{reason="ok",route="/v1/realtime",status="101"}'
        assert figure(http, counted) == 1


def test_handshakes_of_strangers(tmp_path: Path) -> None:
    key = add(tmp_path / "keys", "alice")
    with gateway(keys=tmp_path / "keys") as http:
        assert code(refused(http)) == (401, "missing_api_key")
        assert code(refused(http, headers={"authorization": "Bearer wrong"})) == (401, "invalid_api_key")
        assert code(refused(http, subprotocols=["realtime", "openai-insecure-api-key.wrong"]))[0] == 401
        with talking(http, headers={"authorization": f"Bearer {key}"}) as talker:
            assert talker.socket.accepted_subprotocol is None
        with talking(http, subprotocols=["realtime", f"openai-insecure-api-key.{key}"]) as talker:
            assert talker.socket.accepted_subprotocol == "realtime"
        answer = refused(http)
        assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "https://evil.example.com"}, "origin_not_allowed"),
        ({"origin": "null"}, "origin_not_allowed"),
        ({"host": "rebound.example.com"}, "host_not_allowed"),
    ],
)
def test_foreign_pages_may_not_connect(http: TestClient, headers: dict[str, str], expected: str) -> None:
    assert code(refused(http, headers=headers)) == (403, expected)


def test_the_gateway_s_own_page_may(http: TestClient) -> None:
    with talking(http, headers={"origin": "http://localhost"}):
        pass


def test_a_model_that_is_not_there_is_404(http: TestClient) -> None:
    assert code(refused(http, "?model=gpt-realtime")) == (404, "model_not_found")


def test_another_path_is_404(http: TestClient) -> None:
    with pytest.raises(WebSocketDenialResponse) as denial, http.websocket_connect(f"{URL}/nothing"):
        pass
    assert code(denial.value) == (404, "unknown_url")


def test_a_server_that_is_away_is_503() -> None:
    class Away(Server):
        def send(self, operation: Any, timeout_s: Any) -> Any:
            raise ServerUnavailable("10.0.0.1 is away")

    with gateway(Away()) as http:
        answer = refused(http)
    assert code(answer) == (503, "server_unavailable")
    assert "10.0.0.1" not in answer.text


def test_too_many_sockets_are_refused_at_once() -> None:
    with gateway(options=limited(sockets=1)) as http:
        with talking(http):
            answer = refused(http)
            assert code(answer) == (429, "too_many_sockets")
            assert answer.headers["retry-after"] == "1"
        with talking(http):
            pass
        counted = 'asr_gateway_requests_total{reason="too_many_sockets",route="/v1/realtime",status="429"}'
        assert figure(http, counted) == 1


def test_items_count_as_requests() -> None:
    with gateway(options=limited(per_minute=1)) as http, talking(http) as talker:
        talker.update(turn_detection=None)
        for expected in ("input_audio_buffer.committed", "error"):
            talker.say(SOUND)
            talker.commit()
            assert talker.until(expected)
        assert code(http.post("/v1/audio/transcriptions")) == (429, "rate_limit_exceeded")


def test_the_beta_s_callers_are_known_by_their_header(http: TestClient) -> None:
    with talking(http, headers={"openai-beta": "realtime=v1"}) as talker:
        talker.send({"type": "transcription_session.update", "session": {"input_audio_format": "pcm16"}})
        assert talker.next()["type"] == "transcription_session.updated"


def test_a_gateway_that_stops_says_goodbye() -> None:
    async def run() -> list[dict[str, Any]]:
        served = app(Server().asynchronous())
        sent: list[dict[str, Any]] = []
        created = asyncio.Event()
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            if message["type"] == "websocket.send":
                created.set()

        serving = asyncio.ensure_future(served(handshake(), incoming.get, send))
        await created.wait()
        await served.stop()
        await serving
        late: list[dict[str, Any]] = []

        async def keep(message: dict[str, Any]) -> None:
            late.append(message)

        await served(handshake(), incoming.get, keep)
        assert late[0]["status"] == 503
        return sent

    sent = asyncio.run(run())
    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", 1001)


def handshake() -> dict[str, Any]:
    """What an ASGI server knows of a new socket."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": "/v1/realtime",
        "query_string": b"",
        "client": ("192.0.2.1", 1234),
        "headers": [(b"host", b"localhost")],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }


def test_a_caller_who_reads_nothing_is_given_up() -> None:
    async def run() -> None:
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.send":
                await asyncio.Event().wait()

        await app(Server().asynchronous())(handshake(), incoming.get, send)

    on_virtual_time(run())


def test_a_caller_who_is_silent_is_kept() -> None:
    """For an hour, in which nothing comes; then speech works."""

    async def run() -> list[Any]:
        incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        incoming.put_nowait({"type": "websocket.connect"})
        events: list[Any] = []
        completed = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.send":
                events.append(json.loads(message["text"]))
                if events[-1]["type"] == f"{TRANSCRIPTION}.completed":
                    completed.set()

        serving = asyncio.ensure_future(app(Server().asynchronous())(handshake(), incoming.get, send))
        for part in (session(), append(SOUND), append(SILENCE)):
            await asyncio.sleep(3600)
            incoming.put_nowait({"type": "websocket.receive", "text": json.dumps(part)})
        await completed.wait()
        incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await serving
        return events

    assert on_virtual_time(run())[-1]["transcript"] == "word1"


def test_audio_that_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr_gateway.realtime.work._MOST_BYTES", 4)

    async def run() -> None:
        backlog = Backlog()
        backlog.put(Flush())
        backlog.put(Push(b"1234"))
        waiting = asyncio.ensure_future(backlog.room())
        await asyncio.sleep(0)
        assert await backlog.get() == Flush()
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await backlog.get() == Push(b"1234")
        await waiting
        assert await backlog.get_until(asyncio.get_running_loop().time()) is None

    asyncio.run(run())


def test_a_bug_closes_the_socket(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    with talking(http) as talker:
        monkeypatch.setattr("asr_gateway.realtime.machine.Machine.received", fail)
        talker.send({})
        with pytest.raises(WebSocketDisconnect) as closed:
            talker.next()
    assert closed.value.code == 1011
