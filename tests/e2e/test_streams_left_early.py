"""Live streams that their callers leave early, in every way, give their places back at once."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any

import numpy as np
import pytest
import soundfile
from asr_client import FLUSH, AsyncClient, Client, StreamResult
from asr_server import TritonServer

from tests.e2e.conftest import ROOT
from tests.e2e.test_long_recordings import RATE
from tests.e2e.test_stream_load import wait_for_a_place

pytestmark = pytest.mark.e2e
MOST = 64  # live streams that the server takes
SPEECH = soundfile.read(ROOT / "demo" / "samples" / "quilter.wav", dtype="int16")[0][: 4 * RATE]


@pytest.fixture(autouse=True)
def _empty_server(client: Client) -> None:
    wait_for_a_place(client)


def chunks() -> Iterator[Any]:
    """The answer to FLUSH shows that the stream has its place; then somebody speaks, without an end."""
    yield bytes(200)
    yield FLUSH
    yield from itertools.cycle(np.array_split(SPEECH, 20))


def fill(client: Client) -> list[Generator[StreamResult, None, None]]:
    """As many streams as the server takes; each has its place."""
    streams = [client.stream(chunks(), sampling_rate=RATE) for _ in range(MOST)]
    assert [next(stream).flushed for stream in streams] == [True] * MOST
    return streams


def stop_reading(client: Client) -> None:
    def listen(stream: Generator[StreamResult, None, None]) -> None:
        for _ in stream:
            break

    streams = fill(client)
    while streams:
        listen(streams.pop())


def close_each(client: Client) -> None:
    for stream in fill(client):
        stream.close()


def close_the_client(client: Client) -> None:
    streams = fill(client)
    client.close()
    del streams


@pytest.mark.parametrize("leave", [stop_reading, close_each, close_the_client])
def test_a_client(server: TritonServer, leave: Callable[[Client], None]) -> None:
    with Client(server.grpc_url, timeout_s=120) as client:
        leave(client)
    with Client(server.grpc_url, timeout_s=120) as client:
        close_each(client)  # all places are free


async def fill_async(client: AsyncClient, source: Callable[[], Any]) -> list[AsyncGenerator[StreamResult, None]]:
    streams = [client.stream(source(), sampling_rate=RATE) for _ in range(MOST)]
    assert [result.flushed for result in await asyncio.gather(*(anext(stream) for stream in streams))] == [True] * MOST
    return streams


async def aclose_each(client: AsyncClient) -> None:
    await asyncio.gather(*(stream.aclose() for stream in await fill_async(client, chunks)))


async def drop_each(client: AsyncClient) -> None:
    """As `break` does: the event loop closes generators that nobody holds."""
    streams = await fill_async(client, chunks)
    del streams
    await asyncio.sleep(1)


async def aclose_the_client(client: AsyncClient) -> None:
    streams = await fill_async(client, chunks)
    await client.aclose()
    del streams


async def cancel_while_they_speak(client: AsyncClient) -> None:
    await cancel(await fill_async(client, chunks), after_s=0.5)


async def cancel_while_nobody_speaks(client: AsyncClient) -> None:
    async def silent() -> AsyncIterator[Any]:
        yield bytes(200)
        yield FLUSH
        await asyncio.Event().wait()

    await cancel(await fill_async(client, silent), after_s=0.1)


async def cancel(streams: list[AsyncGenerator[StreamResult, None]], after_s: float) -> None:
    async def listen(stream: AsyncGenerator[StreamResult, None]) -> None:
        async for _ in stream:
            pass

    tasks = [asyncio.create_task(listen(stream)) for stream in streams]
    await asyncio.sleep(after_s)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ended)


@pytest.mark.parametrize(
    "leave", [aclose_each, drop_each, aclose_the_client, cancel_while_they_speak, cancel_while_nobody_speaks]
)
def test_an_async_client(server: TritonServer, leave: Callable[[AsyncClient], Any]) -> None:
    async def run() -> None:
        async with AsyncClient(server.grpc_url, timeout_s=120) as client:
            await leave(client)
        async with AsyncClient(server.grpc_url, timeout_s=120) as client:
            await aclose_each(client)  # all places are free

    asyncio.run(run())
