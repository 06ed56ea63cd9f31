"""Callers who go: nothing goes on for them, and nothing stays."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asr_client._calls.protocol import Infer, Operation
from asr_client.testing import AsyncMockTransport
from asr_gateway import forms
from asr_gateway.app import GatewayOptions
from asr_gateway.connections import CallerGone, while_connected
from asr_gateway.limits import LimitOptions
from gateway_app import Caller, Kit, app, form


class Waiting(AsyncMockTransport):
    """A server that never answers, and sees whether its caller still waits."""

    def __init__(self) -> None:
        super().__init__(Kit())
        self.began = asyncio.Event()
        self.cancelled = False

    async def send(self, operation: Operation[Any], timeout_s: float | None) -> Any:
        if not isinstance(operation, Infer):
            return await super().send(operation, timeout_s)
        self.began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The recordings that were uploaded."""
    found: list[Any] = []
    parse = forms.parse
    monkeypatch.setattr(forms, "parse", lambda data: (found.append(data["file"].file), parse(data))[1])
    return found


@pytest.mark.parametrize("fields", [{}, {"stream": "true"}])
def test_work_for_a_caller_who_goes_is_cancelled(fields: dict[str, str], files: list[Any]) -> None:
    async def run() -> None:
        server = Waiting()
        caller = Caller(app(server)).upload(form(fields, audio=bytes(2**21)))
        await server.began.wait()
        caller.go()
        await caller.answering
        assert server.cancelled
        assert not caller.sent

    asyncio.run(run())
    assert [file.closed for file in files] == [True]


def test_a_caller_may_go_during_the_upload() -> None:
    async def run() -> None:
        kit = Kit()
        caller = Caller(app(kit.asynchronous())).upload(form()[:50], more=True)
        caller.go()
        await caller.answering
        assert not caller.sent
        assert not kit.seen

    asyncio.run(run())


def test_the_place_of_a_caller_who_went_is_free() -> None:
    async def run() -> None:
        server = Waiting()
        gateway = app(server, GatewayOptions(limits=LimitOptions(requests=1)))
        first = Caller(gateway).upload(form())
        await server.began.wait()
        second = Caller(gateway).upload(form())
        await second.answering
        assert second.status == 429
        first.go()
        await first.answering
        server.began.clear()
        third = Caller(gateway).upload(form())
        await server.began.wait()
        third.go()
        await third.answering

    asyncio.run(run())


async def _gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def _still_there() -> dict[str, Any]:
    return await asyncio.Event().wait() and {}


def connected(receive: Callable[[], Awaitable[Any]], seconds: float) -> str:
    async def work() -> str:
        await asyncio.sleep(seconds)
        return "done"

    return asyncio.run(while_connected(receive, work()))


def test_work_goes_on_while_somebody_waits() -> None:
    assert connected(_still_there, 0) == "done"
    with pytest.raises(CallerGone):
        connected(_gone, 3600)


def test_what_fails_fails() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(while_connected(_still_there, fail()))
