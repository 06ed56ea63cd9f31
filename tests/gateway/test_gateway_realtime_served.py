"""The Realtime API by OpenAI's SDK, by the beta's protocol and by browsers' handshakes, before a real Triton."""

import io
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gateway_service
import jiwer
import numpy as np
import openai
import pytest
import soundfile
import soxr
from asr_client import Client
from asr_gateway.keys import add
from asr_server import TritonServer
from gateway_service import Gateway
from realtime_app import TRANSCRIPTION, append
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.conftest import ROOT
from tests.e2e.test_stream_load import wait_for_a_place

pytestmark = pytest.mark.e2e
SAMPLES = ROOT / "demo" / "samples"
SPOKEN = ("quilter.wav", "radio.wav", "studio.flac")
PAUSE_S = 1.5
TIMEOUT_S = 60


@dataclass(frozen=True)
class Format:
    """How audio is sent."""

    encoding: str
    rate: int
    beta_name: str = ""  # "": none, because the beta's PCM has 24 kHz

    def encoded(self, samples: np.ndarray) -> bytes:
        """The bytes of int16 samples at the rate."""
        if self.encoding == "audio/pcm":
            return samples.astype("<i2").tobytes()
        buffer = io.BytesIO()
        subtype = "ULAW" if self.encoding == "audio/pcmu" else "ALAW"
        soundfile.write(buffer, samples, self.rate, format="RAW", subtype=subtype)
        return buffer.getvalue()

    @property
    def described(self) -> dict[str, Any]:
        return {"type": self.encoding, **({"rate": self.rate} if self.encoding == "audio/pcm" else {})}


FORMATS = {
    "pcm24": Format("audio/pcm", 24_000, "pcm16"),
    "pcm16": Format("audio/pcm", 16_000),
    "pcm48": Format("audio/pcm", 48_000),
    "pcmu": Format("audio/pcmu", 8_000, "g711_ulaw"),
    "pcma": Format("audio/pcma", 8_000, "g711_alaw"),
}
DIALECTS = ("transcription", "realtime", "beta")


@pytest.fixture(scope="module")
def gateway(server: TritonServer) -> Iterator[Gateway]:
    with gateway_service.running(server.grpc_url) as running:
        yield running


@pytest.fixture(autouse=True)
def _places(client: Client) -> None:
    wait_for_a_place(client)


@pytest.fixture(scope="module")
def truth() -> str:
    """What is said in the recordings."""
    rows = (row.split("\t") for row in (SAMPLES / "manifest.tsv").read_text(encoding="utf-8").splitlines())
    texts = dict(rows)
    return " ".join(texts[name] for name in SPOKEN)


def spoken(rate: int, names: tuple[str, ...] = SPOKEN) -> np.ndarray:
    """The recordings, each with a pause after it, in int16."""
    parts = []
    for name in names:
        samples, own_rate = soundfile.read(SAMPLES / name, dtype="float32", always_2d=True)
        parts += [soxr.resample(samples.mean(axis=1), own_rate, rate), np.zeros(int(PAUSE_S * rate), np.float32)]
    return np.clip(np.concatenate(parts) * 32767, -32768, 32767).astype(np.int16)


class Caller:
    """A session, however its caller speaks."""

    def __init__(self, send: Callable[[Any], None], receive: Callable[[], Any]) -> None:
        self.send = send
        self.receive = receive

    def say(self, audio: bytes, chunk: int = 4800) -> None:
        for place in range(0, len(audio), chunk):
            self.send(append(audio[place : place + chunk]))

    def commit(self) -> None:
        self.send({"type": "input_audio_buffer.commit"})

    def until(self, kind: str) -> list[Any]:
        events = [self.receive()]
        while events[-1]["type"] != kind:
            assert events[-1]["type"] != "error", events[-1]
            events.append(self.receive())
        return events

    def items(self) -> list[str]:
        """The transcripts up to that of a commit, which no `speech_stopped` goes before; deltas are checked."""
        self.commit()
        events: list[Any] = []
        done: dict[str, str] = {}
        stopped: set[str] = set()
        while done.keys() <= stopped:
            events.append(self.receive())
            match events[-1]["type"].rpartition(".")[2]:
                case "speech_stopped":
                    stopped.add(events[-1]["item_id"])
                case "completed":
                    done[events[-1]["item_id"]] = events[-1]["transcript"]
                case "error" | "failed":
                    raise AssertionError(events[-1])
        for item, transcript in done.items():
            deltas = [part["delta"] for part in events if part["type"].endswith("delta") and part["item_id"] == item]
            assert "".join(deltas) == transcript
        return list(done.values())


@contextmanager
def raw(gateway: Gateway, query: str = "?intent=transcription", **handshake: Any) -> Iterator[Caller]:
    """A caller with nothing but a WebSocket."""
    with plain(gateway, query, **handshake) as socket:
        caller = Caller(
            lambda event: socket.send(json.dumps(event)), lambda: json.loads(socket.recv(timeout=TIMEOUT_S))
        )
        assert caller.receive()["type"].endswith("session.created")
        yield caller


def plain(gateway: Gateway, query: str = "", **handshake: Any) -> ClientConnection:
    url = gateway.api.replace("http:", "ws:")
    return connect(f"{url}/realtime{query}", proxy=None, **handshake)


@contextmanager
def calling(gateway: Gateway, dialect: str, format_: Format, turns: Any) -> Iterator[Caller]:
    """A caller whose session is set up."""
    if dialect == "beta":
        with raw(gateway, additional_headers={"openai-beta": "realtime=v1"}) as caller:
            flat = {
                "input_audio_format": format_.beta_name or format_.described,
                "input_audio_transcription": {"model": "whisper-1"},
                "turn_detection": turns,
            }
            caller.send({"type": "transcription_session.update", "session": flat})
            assert caller.receive()["type"] == "transcription_session.updated"
            yield caller
        return
    query: Any = {"extra_query": {"intent": "transcription"}} if dialect == "transcription" else {"model": "asr"}
    audio = {"format": format_.described, "transcription": {"model": "whisper-1"}, "turn_detection": turns}
    with (
        openai.OpenAI(base_url=gateway.api, api_key="any") as sdk,
        sdk.realtime.connect(**query) as connection,
    ):
        caller = Caller(connection.send, lambda: connection.recv().model_dump(warnings=False))
        assert caller.receive()["type"] == "session.created"
        connection.session.update(session={"type": dialect, "audio": {"input": audio}})  # type: ignore[misc, arg-type]
        answer = caller.receive()
        assert (answer["type"], answer["session"]["type"]) == ("session.updated", dialect)
        yield caller


def wer(truth: str, texts: list[str]) -> float:
    return float(jiwer.wer(truth, " ".join(" ".join(texts).lower().split())))


@pytest.fixture(scope="module")
def streamed(client: Client, truth: str) -> dict[int, float]:
    """The WER of `Client.stream` at each rate."""

    def error(rate: int) -> float:
        samples = spoken(rate)
        chunks = np.array_split(samples, len(samples) // (rate // 10))
        return wer(truth, [result.text for result in client.stream(chunks, sampling_rate=rate) if result.is_final])

    return {rate: error(rate) for rate in sorted({format_.rate for format_ in FORMATS.values()})}


@pytest.mark.parametrize("format_", FORMATS.values(), ids=FORMATS.keys())
@pytest.mark.parametrize("dialect", DIALECTS)
def test_words_are_those_of_a_stream(
    gateway: Gateway, streamed: dict[int, float], truth: str, dialect: str, format_: Format
) -> None:
    with calling(gateway, dialect, format_, {"type": "server_vad"}) as caller:
        caller.say(format_.encoded(spoken(format_.rate)))
        texts = caller.items()
    assert len([text for text in texts if text]) == len(SPOKEN)
    assert wer(truth, texts) <= streamed[format_.rate] + 0.02


@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_turns_there_is_one_item(
    gateway: Gateway, streamed: dict[int, float], truth: str, dialect: str
) -> None:
    format_ = FORMATS["pcm24"]
    with calling(gateway, dialect, format_, None) as caller:
        caller.say(format_.encoded(spoken(format_.rate)))
        texts = caller.items()
    assert len(texts) == 1
    assert wer(truth, texts) <= streamed[format_.rate] + 0.02


@pytest.mark.parametrize("delay", [None, "low"])
def test_events_of_a_turn(gateway: Gateway, delay: str | None) -> None:
    audio = {"transcription": {"delay": delay}, "format": FORMATS["pcm16"].described}
    with raw(gateway) as caller:
        caller.send({"type": "session.update", "session": {"type": "transcription", "audio": {"input": audio}}})
        caller.until("session.updated")
        caller.say(FORMATS["pcm16"].encoded(spoken(16_000, ("quilter.wav",))))
        events = caller.until(f"{TRANSCRIPTION}.completed")
    ended = ["speech_stopped", "committed", "added", "done", "completed"]
    order = [kind for kind, _ in itertools.groupby(event["type"].rpartition(".")[2] for event in events)]
    assert order == ["speech_started", "delta", *ended]
    started, stopped = events[0], events[-len(ended)]
    assert 0 <= started["audio_start_ms"] < 1000
    assert 5000 < stopped["audio_end_ms"] < 1000 * (5.4 + PAUSE_S)
    assert 4 <= events[-1]["usage"]["seconds"] <= 8
    deltas = len(events) - len(ended) - 1
    assert deltas > 3 if delay else deltas == 1


def test_every_commit_is_answered(gateway: Gateway) -> None:
    format_ = FORMATS["pcm16"]
    audio = format_.encoded(spoken(16_000, ("studio.flac",)))
    with calling(gateway, "transcription", format_, {"type": "server_vad"}) as caller:
        caller.send({"type": "input_audio_buffer.commit", "event_id": "empty"})
        error = caller.receive()["error"]
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "empty")
        caller.say(audio)
        assert caller.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"]
        assert caller.items() == [""]  # after the turn that the server has found
        caller.say(audio[: len(audio) // 3])  # in the middle of a turn
        (text,) = caller.items()
        assert text
        for _ in range(3):
            caller.say(audio)
            caller.commit()
        events = [event for _ in range(6) for event in caller.until(f"{TRANSCRIPTION}.completed")]
        texts = [event["transcript"] for event in events if event["type"].endswith("completed")]
        assert [bool(text) for text in texts] == [True, False] * 3  # each turn, and the silence after it


def test_hotwords_are_heard(gateway: Gateway) -> None:
    audio = FORMATS["pcm16"].encoded(spoken(16_000, ("radio.wav",)))

    def text(keywords: list[str]) -> str:
        with raw(gateway) as caller:
            heard = {
                "format": FORMATS["pcm16"].described,
                "transcription": {"keywords": keywords},
                "turn_detection": None,
            }
            caller.send({"type": "session.update", "session": {"type": "transcription", "audio": {"input": heard}}})
            caller.until("session.updated")
            caller.say(audio)
            return caller.items()[0]

    word = next(word for word in text([]).split() if len(word) > 5)
    wanted = f"{word[:-1]}X" if word[-1] != "X" else f"{word[:-1]}Z"
    assert wanted in text([f"{wanted}^50"]).split()


def test_an_option_that_the_model_refuses_is_an_error(gateway: Gateway) -> None:
    with raw(gateway) as caller:
        heard = {"transcription": {"keywords": ["日本"]}, "turn_detection": None}
        caller.send({"type": "session.update", "session": {"type": "transcription", "audio": {"input": heard}}})
        caller.until("session.updated")
        caller.say(bytes(48_000))
        error = caller.receive()["error"]
        assert error["code"] == "unsupported_value"
        assert gateway.url.rpartition(":")[2] not in error["message"]


SIXTY_FOUR = """
import asyncio, json, sys
from websockets.asyncio.client import connect

async def hold(url, audio):
    socket = await connect(url, proxy=None)
    await socket.recv()
    await socket.send(audio)
    async for message in socket:
        if json.loads(message)["type"].endswith("speech_started"):
            return socket

async def main(url, audio):
    sockets = await asyncio.gather(*(hold(url, audio) for _ in range(64)))
    print("ready", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main(sys.argv[1], sys.stdin.read()))
"""


def test_sockets_that_are_killed_give_their_places_back(gateway: Gateway) -> None:
    audio = FORMATS["pcm24"].encoded(spoken(24_000, ("quilter.wav",))[: 2 * 24_000])
    url = f"{gateway.api.replace('http:', 'ws:')}/realtime?intent=transcription"
    command = [sys.executable, "-c", SIXTY_FOUR, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as callers:
        assert callers.stdin is not None
        assert callers.stdout is not None
        callers.stdin.write(json.dumps(append(audio)))
        callers.stdin.close()
        assert callers.stdout.readline() == "ready\n"
        with pytest.raises(InvalidStatus) as refused, plain(gateway):
            pass
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "1"
        callers.kill()
        callers.wait(TIMEOUT_S)
    deadline = time.monotonic() + 10  # so long before the server would forget them
    while True:
        try:
            with raw(gateway) as caller:
                caller.say(audio)
                assert caller.items() != [""]
            break
        except InvalidStatus:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("pause_s", [0, pytest.param(75, marks=pytest.mark.exhaustive)])
def test_after_a_silent_minute_speech_works(pause_s: float, gateway: Gateway) -> None:
    """The server forgets streams that get nothing for a minute."""
    format_ = FORMATS["pcm16"]
    audio = format_.encoded(spoken(16_000, ("studio.flac",)))
    with calling(gateway, "transcription", format_, {"type": "server_vad"}) as caller:
        texts = []
        for _ in range(2):
            caller.say(audio)
            texts.append(caller.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"])
            time.sleep(pause_s)
        caller.say(bytes(90 * 2 * 16_000))  # 90 s in which nobody speaks
        caller.say(audio)
        texts.append(caller.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"])
    assert texts[0]
    assert texts == texts[:1] * 3


def test_handshakes_and_the_end(server: TritonServer, tmp_path: Path) -> None:
    key = add(tmp_path / "keys", "alice")
    with gateway_service.running(server.grpc_url, "--keys", tmp_path / "keys") as gateway:
        for handshake, status in (
            ({}, 401),
            ({"subprotocols": ["realtime", "openai-insecure-api-key.wrong"]}, 401),
            ({"origin": "https://evil.example.com"}, 403),
        ):
            with pytest.raises(InvalidStatus) as refused, plain(gateway, **handshake):  # type: ignore[arg-type]
                pass
            assert refused.value.response.status_code == status
            assert json.loads(refused.value.response.body or b"")["error"]["code"]
        with pytest.raises(InvalidStatus) as unknown, plain(gateway, "?model=gpt-9", subprotocols=browser(key)):
            pass
        assert unknown.value.response.status_code == 404
        with plain(gateway, subprotocols=browser(key)) as socket:
            assert socket.subprotocol == "realtime"
            socket.recv(timeout=TIMEOUT_S)
            gateway.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=TIMEOUT_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert gateway.process.wait(TIMEOUT_S) == 0
        assert gateway.process.stderr is not None
        log = gateway.process.stderr.read()
    assert "handshake" not in log
    assert "Traceback" not in log


def browser(key: str) -> list[Any]:
    """The subprotocols that a page offers."""
    return ["realtime", f"openai-insecure-api-key.{key}"]


def test_a_message_in_the_wrong_shape_leaves_the_socket(gateway: Gateway) -> None:
    large = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 22 * 2**20})
    with plain(gateway) as socket:
        socket.recv(timeout=TIMEOUT_S)
        for message, code in ((b"\0\1", "invalid_message"), ("[1]", "invalid_json"), (large, "message_too_large")):
            socket.send(message)
            assert json.loads(socket.recv(timeout=TIMEOUT_S))["error"]["code"] == code
