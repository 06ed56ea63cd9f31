"""A caller that goes: the server is told, so that it can stop."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from asr_client import AsyncClient, Client, ClientClosed, DeadlineExceeded, RetryPolicy, Transcription
from fake_inference import HELLO, FakeTriton, Seen

SECOND = np.zeros(16_000, np.float32)
Go = Callable[[str, threading.Event], None]


@pytest.fixture
def busy(grpc_triton: FakeTriton) -> Iterator[threading.Event]:
    """Set when the server has a request, which it answers when the test is over."""
    has_begun, may_end = threading.Event(), threading.Event()

    def model(seen: Seen) -> Transcription:
        has_begun.set()
        may_end.wait(30)
        return HELLO

    grpc_triton.model = model
    yield has_begun
    may_end.set()


def let_the_time_pass(url: str, has_begun: threading.Event) -> None:
    with Client(url, timeout_s=1, retry=RetryPolicy(max_attempts=1)) as client:
        assert client.server_ready(timeout_s=60)  # connected: the time is for the request alone
        with pytest.raises(DeadlineExceeded):
            client.transcribe(SECOND, sampling_rate=16_000)


def let_the_time_pass_in_a_task(url: str, has_begun: threading.Event) -> None:
    async def run() -> None:
        async with AsyncClient(url, timeout_s=1, retry=RetryPolicy(max_attempts=1)) as client:
            assert await client.server_ready(timeout_s=60)
            with pytest.raises(DeadlineExceeded):
                await client.transcribe(SECOND, sampling_rate=16_000)

    asyncio.run(run())


def cancel_the_task(url: str, has_begun: threading.Event) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            task = asyncio.create_task(client.transcribe(SECOND, sampling_rate=16_000))
            await asyncio.to_thread(has_begun.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def cancel_many(url: str, has_begun: threading.Event) -> None:
    async def run() -> None:
        async with AsyncClient(url) as client:
            begun = asyncio.ensure_future(client.transcribe_many([b"audio"] * 3))
            await asyncio.to_thread(has_begun.wait)
            begun.cancel()
            await asyncio.gather(begun, return_exceptions=True)

    asyncio.run(run())


def close_the_client(url: str, has_begun: threading.Event) -> None:
    client = Client(url)
    closer = threading.Thread(target=lambda: (has_begun.wait(), client.close()))
    closer.start()
    with pytest.raises(ClientClosed):
        client.transcribe(SECOND, sampling_rate=16_000)
    closer.join()


@pytest.mark.parametrize(
    "go", [let_the_time_pass, let_the_time_pass_in_a_task, cancel_the_task, cancel_many, close_the_client]
)
def test_the_server_is_told(go: Go, grpc_triton: FakeTriton, busy: threading.Event) -> None:
    go(grpc_triton.url, busy)
    assert grpc_triton.was_left.wait(10)


def test_a_caller_who_gets_an_answer_has_not_gone(grpc_triton: FakeTriton) -> None:
    with Client(grpc_triton.url) as client:
        client.transcribe(SECOND, sampling_rate=16_000)
    assert not grpc_triton.was_left.wait(0.2)
