from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from gateway_app import Service, service

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

_PAGE_TIMEOUT_MS = 60_000


@pytest.fixture
def called() -> Iterator[Service]:
    with service() as running:
        yield running


@pytest.fixture(scope="module")
def playwright() -> "Iterator[Playwright]":
    """It drives browsers, for one module alone: while it is there, nothing else runs an event loop in this thread."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PAGE_TIMEOUT_MS)
    with sync_playwright() as running:
        yield running
