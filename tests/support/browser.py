"""Chromium as Debian packages it, on pages that may load nothing from another host."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Route, WebSocket

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")
_FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required")
_VIOLATIONS = "document.addEventListener('securitypolicyviolation', e => console.error('policy', e.blockedURI))"


@contextmanager
def chromium(playwright: Playwright, *flags: str, microphone: Path | None = None) -> Iterator[Browser]:
    """A browser without a window.

    Args:
        playwright: drives it.
        flags: more of Chromium's.
        microphone: a WAV file that its microphone hears once; None: it hears beeps.
    """
    heard = [f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", *heard]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, *fake, *flags])
    try:
        yield browser
    finally:
        browser.close()


@dataclass
class Visit:
    """A page, and what a user never sees of it."""

    page: Page
    complaints: list[str] = field(default_factory=list)  # on the console, and uncaught
    strangers: list[str] = field(default_factory=list)  # URLs of other hosts, which were refused

    def expect(self, pattern: str) -> None:
        """Take complaints that fit away; there has to be one."""
        fitting = [complaint for complaint in self.complaints if re.search(pattern, complaint)]
        assert fitting, self.complaints
        self.complaints = [complaint for complaint in self.complaints if complaint not in fitting]


@contextmanager
def visit(browser: Browser, url: str, before: str = "", **options: Any) -> Iterator[Visit]:
    """A page, which at the end has asked nobody but its own host, and complained of nothing.

    Args:
        browser: a new profile of it.
        url: of the page.
        before: a script that runs before the page's.
        options: of Playwright's contexts.
    """
    context = browser.new_context(**options)
    context.add_init_script(f"{_VIOLATIONS};{before}")
    page = context.new_page()
    visit = Visit(page)
    host = urlsplit(url).netloc

    def only_here(route: Route) -> None:
        if urlsplit(route.request.url).netloc == host:
            route.continue_()
        else:
            visit.strangers.append(route.request.url)
            route.abort()

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(f"{message.type}: {message.text}")

    def connect(socket: WebSocket) -> None:
        if urlsplit(socket.url).netloc != host:
            visit.strangers.append(socket.url)

    context.route("**/*", only_here)
    page.on("websocket", connect)
    page.on("console", hear)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    try:
        page.goto(url)
        yield visit
        assert not visit.strangers
        assert not visit.complaints
    finally:
        context.close()
