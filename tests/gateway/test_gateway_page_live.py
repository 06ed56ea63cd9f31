"""The page's microphone in a real Chromium: before a gateway and a real Triton, and before a fake socket."""

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gateway_service
import numpy as np
import pytest
import soundfile
import soxr
from asr_client import Client
from asr_gateway.keys import add
from asr_server import TritonServer
from browser import Visit, chromium, needs_chromium, visit
from gateway_service import Gateway
from page_steps import SAMPLES, errors, said, shown
from playwright.sync_api import Browser, Page, Playwright, WebSocketRoute, expect

pytestmark = [pytest.mark.e2e, needs_chromium]
SAID = [SAMPLES / name for name in ("quilter.wav", "plain.flac")]
TEXT = " ".join(map(said, SAID))
RATE = 48_000
REALTIME = re.compile(r"/v1/realtime")
# Keeps what getUserMedia gives, to see whether it is stopped.
SPY = """
window.tracks = [];
const devices = navigator.mediaDevices;
const ask = devices.getUserMedia.bind(devices);
devices.getUserMedia = async (wanted) => {
  const stream = await ask(wanted);
  window.tracks.push(...stream.getTracks());
  return stream;
};
"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears: sentences with pauses."""
    parts = [np.zeros(RATE // 2)]
    for file in SAID:
        samples, rate = soundfile.read(file, always_2d=True)
        parts += [soxr.resample(samples.mean(axis=1), rate, RATE), np.zeros(RATE * 3 // 2)]
    path = tmp_path_factory.mktemp("microphone") / "said.wav"
    soundfile.write(path, np.concatenate(parts), RATE, subtype="PCM_16")
    return path


def captions(page: Page) -> str:
    return str(page.evaluate("document.querySelector('live-captions').text"))


def are_stopped(page: Page) -> bool:
    return bool(page.evaluate("tracks.length > 0 && tracks.every(track => track.readyState === 'ended')"))


@pytest.mark.parametrize("has_keys", [False, True], ids=["without keys", "with keys"])
def test_what_is_said_is_captioned(
    playwright: Playwright, server: TritonServer, client: Client, tmp_path: Path, spoken: Path, has_keys: bool
) -> None:
    key = add(tmp_path / "keys", "alice")
    options = ("--keys", tmp_path / "keys") if has_keys else ()
    with (
        chromium(playwright, microphone=spoken) as browser,
        gateway_service.running(server.grpc_url, *options) as gateway,
        visit(browser, gateway.url, SPY) as visited,
    ):
        page = visited.page
        if has_keys:
            page.fill("#key", key)
            page.keyboard.press("Enter")
        page.click("#record")
        words = len(TEXT.split())
        enough = "words => document.querySelector('live-captions').text.split(' ').length >= words"
        page.wait_for_function(enough, arg=words - 3, timeout=60_000)
        page.click("#stop")
        again = shown(page)
        assert are_stopped(page)
        assert errors(TEXT, captions(page)) <= 0.1
        with page.expect_download() as download:
            page.click("#downloads a[download$='.wav']")
        download.value.save_as(tmp_path / "kept.wav")
        assert again == client.transcribe(tmp_path / "kept.wav").text


def test_partial_text_is_grey_and_final_text_is_not(playwright: Playwright, server: TritonServer, spoken: Path) -> None:
    with (
        chromium(playwright, microphone=spoken) as browser,
        gateway_service.running(server.grpc_url) as gateway,
        visit(browser, gateway.url, SPY) as visited,
    ):
        page = visited.page
        page.click("#record")
        partial = page.locator(".partial").first
        expect(partial).to_be_visible()
        grey = partial.evaluate("element => getComputedStyle(element).color")
        final = page.locator(".final").first
        expect(final).to_be_visible()
        assert final.evaluate("element => getComputedStyle(element).color") != grey
        assert final.get_attribute("aria-hidden") is None  # a screen reader says it
        page.click("#stop")
        shown(page)


@dataclass
class Socket:
    """One connection of a fake gateway, which hears nothing and says what a test lets it say."""

    route: WebSocketRoute
    settings: dict[str, Any] = field(default_factory=dict)
    audio: bytearray = field(default_factory=bytearray)
    commits: int = 0

    def say(self, kind: str, **fields: Any) -> None:
        self.route.send(json.dumps({"type": kind, "event_id": "event", **fields}))

    def speech(self, item: str, start_ms: int) -> None:
        self.say("input_audio_buffer.speech_started", item_id=item, audio_start_ms=start_ms)

    def delta(self, item: str, text: str) -> None:
        self.say("conversation.item.input_audio_transcription.delta", item_id=item, content_index=0, delta=text)

    def completed(self, item: str, text: str, end_ms: int) -> None:
        self.say("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=end_ms)
        self.committed(item, text)

    def committed(self, item: str, text: str) -> None:
        self.say("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        kind = "conversation.item.input_audio_transcription.completed"
        self.say(kind, item_id=item, content_index=0, transcript=text)

    @property
    def seconds(self) -> float:
        """How much audio has come."""
        if not self.settings:
            return 0.0
        return len(self.audio) / 2 / float(self.settings["audio"]["input"]["format"]["rate"])


class Sockets:
    """A fake gateway's sockets, in the order in which they were opened."""

    def __init__(self) -> None:
        self.opened: list[Socket] = []
        self.is_closed = False  # to new ones
        self.refusal = ""  # of every session
        self.rest = ""  # what a commit finds after the last turn
        self.turns: dict[str, Any] | None = {"type": "server_vad"}

    def __call__(self, route: WebSocketRoute) -> None:
        if self.is_closed:
            route.close(code=1011, reason="the server is away")
            return
        socket = Socket(route)
        self.opened.append(socket)
        route.on_message(lambda message: self._hear(socket, json.loads(message)))
        socket.say("session.created", session={})

    def _hear(self, socket: Socket, event: dict[str, Any]) -> None:
        if event["type"] == "session.update":
            socket.settings = event["session"]
            if self.refusal:
                socket.say("error", error={"message": self.refusal, "code": "model_not_found", "event_id": None})
            else:
                socket.say("session.updated", session={"audio": {"input": {"turn_detection": self.turns}}})
        elif event["type"] == "input_audio_buffer.append":
            socket.audio += base64.b64decode(event["audio"], validate=True)
        elif event["type"] == "input_audio_buffer.commit":
            socket.commits += 1
            if self.rest:
                socket.completed("turn", "before", 800)  # a turn that ended just now
                socket.committed("rest", self.rest)
                return
            error = {"code": "input_audio_buffer_commit_empty", "message": "empty", "event_id": event["event_id"]}
            socket.say("error", error=error)


@pytest.fixture(scope="module")
def gateway(server: TritonServer) -> Iterator[Gateway]:
    with gateway_service.running(server.grpc_url) as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with chromium(playwright) as running:
        yield running


@pytest.fixture
def sockets() -> Sockets:
    return Sockets()


@pytest.fixture
def visited(browser: Browser, gateway: Gateway, sockets: Sockets) -> Iterator[Visit]:
    with visit(browser, gateway.url, SPY) as opened:
        opened.page.route_web_socket(REALTIME, sockets)
        yield opened


def wait(page: Page, condition: Any) -> None:
    """Let the page go on until the condition is true."""
    for _ in range(600):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it never became true")


def listening(visited: Visit, sockets: Sockets, seconds: float = 0.5) -> Socket:
    """Begin to speak, and return the socket when it has heard some of it."""
    visited.page.click("#record")
    wait(visited.page, lambda: sockets.opened and sockets.opened[0].settings and sockets.opened[0].seconds >= seconds)
    return sockets.opened[0]


def test_what_a_session_asks_for(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    page.fill("#hotwords", "Robert, Acme^5")
    asked = listening(visited, sockets).settings
    assert asked["type"] == "transcription"
    input_ = asked["audio"]["input"]
    assert input_["transcription"] == {"model": "asr", "delay": "low", "keywords": ["Robert", "Acme^5"]}
    assert 8_000 <= input_["format"]["rate"] <= 48_000
    page.click("#stop")
    shown(page)
    assert sockets.opened[0].commits == 1


def test_the_last_words_are_waited_for(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    sockets.rest = "and after"
    listening(visited, sockets)
    page.click("#stop")
    shown(page)
    assert captions(page) == "before and after"


def test_what_was_captioned_stays_when_the_socket_dies(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    first = listening(visited, sockets, 2)
    first.speech("a", 100)
    first.completed("a", "one two", 600)
    first.speech("b", 1000)
    first.delta("b", "three")
    expect(page.locator("live-captions")).to_have_text("one two three")
    first.route.close(code=1011, reason="the server is away")
    expect(page.locator("#live-note")).to_contain_text("The connection was lost")
    expect(page.locator("live-captions")).to_have_text("one two three")
    wait(page, lambda: len(sockets.opened) == 2 and sockets.opened[1].seconds > 0.5)
    expect(page.locator("#live-note")).to_be_hidden()
    expect(page.locator("live-captions")).to_have_text("one two three")
    second = sockets.opened[1]
    wait(page, lambda: second.seconds > 2)
    # It hears again what was not final, from where that began, and nothing else.
    begin = round(1.0 * first.settings["audio"]["input"]["format"]["rate"]) * 2
    assert first.audio[begin : begin + 20_000] == second.audio[:20_000]
    second.speech("b", 0)
    second.completed("b", "three four", 900)
    expect(page.locator("live-captions")).to_have_text("one two three four")
    page.click("#stop")
    shown(page)
    assert captions(page) == "one two three four"
    assert are_stopped(page)


def test_without_a_server_of_captions_the_recording_goes_on(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    first = listening(visited, sockets)
    first.speech("a", 100)
    first.delta("a", "one")
    expect(page.locator("live-captions")).to_have_text("one")
    sockets.is_closed = True
    page.clock.install()
    first.route.close(code=1011)
    for _ in range(6):
        page.wait_for_timeout(100)
        page.clock.fast_forward(10_000)
    expect(page.locator("#live-note")).to_contain_text("There are no live captions: the server is away.")
    expect(page.locator("live-captions")).to_have_text("one")
    page.click("#stop")
    shown(page)
    assert are_stopped(page)


def test_a_session_that_is_refused_is_not_tried_again(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    sockets.refusal = "no such model"
    page.click("#record")
    expect(page.locator("#live-note")).to_contain_text("There are no live captions: no such model.")
    page.click("#stop")
    shown(page)
    assert len(sockets.opened) == 1


def test_a_model_without_streams_is_said(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    sockets.turns = None
    page.click("#record")
    expect(page.locator("#live-note")).to_contain_text("this model hears whole recordings only")
    page.click("#stop")
    shown(page)
    assert not sockets.opened[0].audio


def test_a_page_that_is_left_has_no_microphone(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    listening(visited, sockets)
    assert not are_stopped(page)
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide'))")
    assert are_stopped(page)


def test_a_microphone_that_goes_away_is_said(visited: Visit, sockets: Sockets) -> None:
    page = visited.page
    listening(visited, sockets)
    page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
    shown(page)
    assert are_stopped(page)


def test_a_recording_without_transcript_is_kept(visited: Visit, sockets: Sockets, tmp_path: Path) -> None:
    page = visited.page
    socket = listening(visited, sockets, 1)
    socket.speech("a", 100)
    socket.completed("a", "one two", 600)
    page.route("**/v1/audio/transcriptions", lambda route: route.abort("connectionrefused"))
    page.click("#stop")
    expect(page.locator("#problem-text")).to_contain_text("did not answer")
    visited.expect("ERR_CONNECTION_REFUSED")
    expect(page.locator("live-captions")).to_have_text("one two")
    with page.expect_download() as download:
        page.click("#keep")
    download.value.save_as(tmp_path / "kept.wav")
    samples, rate = soundfile.read(io.BytesIO((tmp_path / "kept.wav").read_bytes()))
    assert len(samples) / rate >= 1
    with page.expect_download() as download:
        page.click("#keep-captions")
    download.value.save_as(tmp_path / "captions.txt")
    assert (tmp_path / "captions.txt").read_text(encoding="utf-8") == "one two\n"
    page.unroute("**/v1/audio/transcriptions")
    page.click("#retry")
    shown(page)


def test_a_microphone_that_is_refused_is_said(browser: Browser, gateway: Gateway) -> None:
    denied = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    with visit(browser, gateway.url, denied) as visited:
        page = visited.page
        page.click("#record")
        expect(page.locator("#problem-text")).to_contain_text("Allow it in the address bar")
        expect(page.locator("#record")).to_be_enabled()
        expect(page.locator("#live")).to_be_hidden()
