"""The page in a real Chromium, before a gateway and a real Triton: recordings."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gateway_service
import numpy as np
import pytest
import recordings
import soundfile
from asr_gateway.keys import add
from asr_server import TritonServer
from browser import Visit, chromium, needs_chromium, visit
from gateway_service import Gateway
from page_steps import SAMPLES, errors, said, shown, upload, violations
from playwright.sync_api import Browser, Playwright, expect

pytestmark = [pytest.mark.e2e, needs_chromium]
QUILTER = SAMPLES / "quilter.wav"
NAME = "gateway.test"  # leads to this machine, and is not localhost


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with chromium(playwright, f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server: TritonServer) -> Iterator[Gateway]:
    with gateway_service.running(server.grpc_url, "--allow-host", NAME) as running:
        yield running


@pytest.fixture
def visited(browser: Browser, gateway: Gateway) -> Iterator[Visit]:
    with visit(browser, gateway.url) as opened:
        expect(opened.page.locator("#record")).to_be_enabled()
        yield opened


def test_a_file_becomes_words(visited: Visit) -> None:
    page = visited.page
    expect(page.locator("#model")).to_have_value("asr")
    upload(page, QUILTER)
    assert errors(said(QUILTER), shown(page)) <= 0.1
    assert page.locator("#result-title").inner_text() == "quilter.wav"
    assert "0:05" in page.locator("#result-facts").inner_text()
    assert re.fullmatch(r"\d+\.\d\d s · \d+ % sure", page.locator("word-transcript .word").first.get_attribute("title"))
    expect(page.locator("#work")).to_be_hidden()


def test_a_dropped_file_becomes_words(visited: Visit) -> None:
    page = visited.page
    data = page.evaluate_handle(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'dropped.wav')); return data }""",
        list(QUILTER.read_bytes()),
    )
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    assert errors(said(QUILTER), shown(page)) <= 0.1
    assert page.locator("#result-title").inner_text() == "dropped.wav"


def test_what_can_be_downloaded(visited: Visit, gateway: Gateway, tmp_path: Path) -> None:
    page = visited.page
    upload(page, QUILTER)
    text = shown(page)
    content = {}
    for link in page.locator("#downloads a").all():
        with page.expect_download() as download:
            link.click()
        name = download.value.suggested_filename
        download.value.save_as(tmp_path / name)
        content[Path(name).suffix] = (tmp_path / name).read_text(encoding="utf-8")
        assert Path(name).stem == "quilter"
    assert content[".txt"] == f"{text}\n"
    times = re.compile(r"\d\d:\d\d:\d\d[.,]\d{3} --> \d\d:\d\d:\d\d[.,]\d{3}")
    assert content[".vtt"].startswith("WEBVTT\n\n")
    assert content[".srt"].startswith("1\n00:00:0")
    for format in (".srt", ".vtt"):
        lines = [line for line in content[format].splitlines()[1:] if line and not line.isdigit()]
        assert " ".join(line for line in lines if not times.fullmatch(line)) == text
        assert any(times.fullmatch(line) for line in lines)
    answer = json.loads(content[".json"])
    assert answer["text"] == text
    assert [word["word"] for word in answer["words"]] == text.split()
    assert "srt" not in answer


def test_words_light_up_and_can_be_heard(visited: Visit) -> None:
    page = visited.page
    upload(page, QUILTER)
    shown(page)
    words = page.locator("word-transcript .word")
    word = words.nth(8)
    start = float(word.get_attribute("title").split()[0])
    word.click()
    expect(page.locator(".word[aria-current]")).to_have_count(1)
    page.wait_for_function("start => document.querySelector('#player').currentTime >= start", arg=start)
    expect(words.last).to_have_attribute("aria-current", "true")  # it plays on
    expect(page.locator(".word[aria-current]")).to_have_count(0)  # to the end


def test_the_keyboard_alone(visited: Visit) -> None:
    page = visited.page
    page.on("filechooser", lambda _: None)  # from now on, so that the browser opens no window of its own

    def reach(selector: str) -> None:
        """Press Tab until it has the focus."""
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    reach("#file")
    with page.expect_file_chooser():
        page.keyboard.press("Enter")
    reach("#record")
    reach("#hotwords")
    page.keyboard.type("Robert")
    reach("[data-sample='memo.mp3']")
    page.keyboard.press("Enter")
    words = shown(page).split()
    assert page.evaluate("document.activeElement.id") == "result-title"
    reach("word-transcript .word")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == words[-1]
    page.keyboard.press("ArrowRight")  # there is no more
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.textContent") == words[-2]
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#player').currentTime > 1")
    reach("#downloads a")  # words do not hold the focus
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.matches('.word')")


@pytest.mark.parametrize("name", ["long.mp3", "telephone.wav", "memo.mp3"])
def test_samples(visited: Visit, name: str) -> None:
    visited.page.click(f"[data-sample='{name}']")
    assert errors(said(SAMPLES / name), shown(visited.page)) <= 0.2
    page = visited.page
    page.wait_for_function("document.querySelector('#player').duration > 2")  # Chromium can play it


def test_words_to_listen_for(visited: Visit) -> None:
    page = visited.page
    upload(page, SAMPLES / "radio.wav")
    word = next(word for word in shown(page).split() if len(word) > 5)
    wanted = f"{word[:-1]}X" if word[-1] != "X" else f"{word[:-1]}Z"
    page.fill("#hotwords", f" {wanted}^50, ")
    upload(page, SAMPLES / "radio.wav")
    expect(page.locator("word-transcript .word", has_text=re.compile(f"^{wanted}$")).first).to_be_visible()


def test_what_is_no_recording_is_said(visited: Visit) -> None:
    page = visited.page
    upload(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"this is no recording"})
    expect(page.locator("#problem")).to_be_visible()
    assert "audio" in page.locator("#problem-text").inner_text()
    assert re.search(r"req_\w+", page.locator("#problem-id").inner_text())
    visited.expect("status of 400")
    upload(page, QUILTER)  # and then all is well again
    shown(page)
    expect(page.locator("#problem")).to_be_hidden()


def test_silence_is_said(visited: Visit) -> None:
    page = visited.page
    silence = io.BytesIO()
    soundfile.write(silence, np.zeros(32_000), 16_000, format="WAV")
    upload(page, {"name": "silence.wav", "mimeType": "audio/wav", "buffer": silence.getvalue()})
    expect(page.locator("#result-facts")).to_contain_text("no speech was found")


def test_a_format_that_the_browser_cannot_play(visited: Visit) -> None:
    page = visited.page
    aiff = recordings.by_soundfile("AIFF", "PCM_16")
    upload(page, {"name": "quilter.aiff", "mimeType": "audio/aiff", "buffer": aiff})
    assert errors(said(QUILTER), shown(page)) <= 0.1
    expect(page.locator("#player-note")).to_be_visible()
    expect(page.locator("#player")).to_be_hidden()


def test_work_can_be_cancelled(visited: Visit, gateway: Gateway) -> None:
    page = visited.page
    page.route("**/v1/audio/transcriptions", lambda route: None)  # an answer that never comes
    upload(page, QUILTER)
    expect(page.locator("#work")).to_be_visible()
    expect(page.locator("#record")).to_be_disabled()
    page.click("#cancel")
    expect(page.locator("#work")).to_be_hidden()
    expect(page.locator("#record")).to_be_enabled()
    expect(page.locator("#problem")).to_be_hidden()


def test_a_gateway_that_is_gone_is_said(visited: Visit) -> None:
    page = visited.page
    page.route("**/v1/audio/transcriptions", lambda route: route.abort("connectionrefused"))
    upload(page, QUILTER)
    expect(page.locator("#problem-text")).to_contain_text("did not answer")
    visited.expect("ERR_CONNECTION_REFUSED")
    page.unroute("**/v1/audio/transcriptions")
    page.click("#again")
    shown(page)


def test_a_key_is_asked_for_and_stays_in_the_tab(browser: Browser, server: TritonServer, tmp_path: Path) -> None:
    key = add(tmp_path / "keys", "alice")
    with (
        gateway_service.running(server.grpc_url, "--keys", tmp_path / "keys") as gateway,
        visit(browser, gateway.url) as visited,
    ):
        page = visited.page
        expect(page.locator("#key-form")).to_be_visible()
        expect(page.locator("#key")).to_be_focused()
        expect(page.locator("#record")).to_be_disabled()
        page.keyboard.type("sk-wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#problem-text")).to_have_text("Incorrect API key.")
        visited.expect("status of 401")
        page.fill("#key", key)
        page.keyboard.press("Enter")
        expect(page.locator("#record")).to_be_enabled()
        expect(page.locator("#problem")).to_be_hidden()
        upload(page, QUILTER)
        assert errors(said(QUILTER), shown(page)) <= 0.1
        page.reload()
        expect(page.locator("#record")).to_be_enabled()
        expect(page.locator("#key-form")).to_be_hidden()
        assert page.evaluate("Object.keys(localStorage).length") == 0
        assert key not in page.content()


def test_without_keys_none_is_asked_for(visited: Visit) -> None:
    expect(visited.page.locator("#key-form")).to_be_hidden()


def test_over_plain_http_the_page_says_that_the_microphone_needs_https(browser: Browser, gateway: Gateway) -> None:
    with visit(browser, gateway.url.replace("127.0.0.1", NAME)) as visited:
        page = visited.page
        expect(page.locator("#record-hint")).to_contain_text("needs HTTPS or localhost")
        expect(page.locator("#record")).to_be_enabled()
        page.click("#record")
        expect(page.locator("#problem-text")).to_contain_text("needs HTTPS or localhost")
        upload(page, QUILTER)  # recordings work all the same
        shown(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nobody_is_kept_out(browser: Browser, gateway: Gateway, scheme: Any, width: int) -> None:
    size: Any = {"width": width, "height": 800}
    with visit(browser, gateway.url, color_scheme=scheme, viewport=size, bypass_csp=True) as visited:
        page = visited.page
        expect(page.locator("#record")).to_be_enabled()
        assert violations(page) == []
        upload(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"this is no recording"})
        expect(page.locator("#problem")).to_be_visible()
        visited.expect("status of 400")
        assert violations(page) == []
        upload(page, QUILTER)
        shown(page)
        assert violations(page) == []
        page.evaluate("document.getElementById('key-form').hidden = false")
        page.evaluate("document.getElementById('live').hidden = false")
        page.evaluate("document.getElementById('work').hidden = false")
        captions = page.locator("live-captions")
        captions.evaluate("captions => { captions.final('1', 'what was said'); captions.partial('2', 'what may') }")
        assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_telephone(browser: Browser, gateway: Gateway, width: int) -> None:
    with visit(browser, gateway.url, viewport={"width": width, "height": 640}) as visited:
        page = visited.page
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.click("[data-sample='long.mp3']")
            shown(page)


def test_the_policy_of_the_page_is_in_force(visited: Visit) -> None:
    page = visited.page
    script = "const script = document.createElement('script'); script.text = 'window.ran = 1'"
    page.evaluate(f"() => {{ {script}; document.head.append(script) }}")
    page.evaluate("fetch('https://elsewhere.test/').catch(() => {})")
    assert page.evaluate("window.ran") is None
    visited.expect("policy")
    visited.expect("Content Security Policy|violates")
