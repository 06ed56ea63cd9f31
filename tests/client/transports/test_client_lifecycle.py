"""Opening, sharing and closing clients."""

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import steady_ports
from asr_client import AsyncClient, Client, ClientClosed, RetryPolicy, Transcription
from asr_client._transports.grpc_client import GrpcClient
from fake_inference import HELLO, FakeTriton, Seen, serving


def echo(seen: Seen) -> Transcription:
    return Transcription(seen.audio.decode(), 1.0, 1.0)


def test_many_threads_share_a_client(triton: FakeTriton) -> None:
    triton.model = echo
    texts = [f"recording {number}" for number in range(60)]
    with Client(triton.url, protocol=triton.protocol) as client, ThreadPoolExecutor(12) as threads:
        results = list(threads.map(lambda text: client.transcribe(text.encode()).text, texts))
    assert results == texts


def test_many_tasks_share_an_async_client(triton: FakeTriton) -> None:
    triton.model = echo
    texts = [f"recording {number}" for number in range(60)]

    async def run() -> list[Transcription]:
        async with AsyncClient(triton.url, protocol=triton.protocol) as client:
            return await asyncio.gather(*(client.transcribe(text.encode()) for text in texts))

    assert [result.text for result in asyncio.run(run())] == texts


def test_retries_meet_a_server_that_comes_back(triton: FakeTriton) -> None:
    (port,) = steady_ports.free()
    late = FakeTriton(triton.protocol)
    patient = RetryPolicy(max_attempts=100, first_backoff_s=0.05, max_backoff_s=0.1)
    client = Client(f"localhost:{port}", protocol=triton.protocol, retry=patient)
    with client, ThreadPoolExecutor(1) as thread:
        result = thread.submit(client.transcribe, b"RIFF")
        time.sleep(0.3)
        with serving(late, port=port):
            assert result.result().text == "hello world"


def test_closing_ends_requests_of_other_threads(triton: FakeTriton) -> None:
    arrived, finish = threading.Event(), threading.Event()

    def hang(seen: Seen) -> Transcription:
        arrived.set()
        finish.wait(20)
        return HELLO

    triton.model = hang
    client = Client(triton.url, protocol=triton.protocol)
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(client.transcribe, b"RIFF")
        arrived.wait(20)
        client.close()
        with pytest.raises(ClientClosed):
            result.result(timeout=15)
    finish.set()


def test_closing_ends_requests_of_other_tasks(triton: FakeTriton) -> None:
    finish = threading.Event()

    def hang(seen: Seen) -> Transcription:
        finish.wait(20)
        return HELLO

    triton.model = hang

    async def run() -> None:
        client = AsyncClient(triton.url, protocol=triton.protocol)
        request = asyncio.create_task(client.transcribe(b"RIFF"))
        await asyncio.sleep(0.2)
        await client.aclose()
        with pytest.raises(ClientClosed):
            await request

    asyncio.run(run())
    finish.set()


def test_closing_ends_the_pause_before_a_retry(grpc_triton: FakeTriton) -> None:
    grpc_triton.queue_full(times=99)
    client = Client(grpc_triton.url, retry=RetryPolicy(first_backoff_s=30, max_backoff_s=30))
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(client.transcribe, b"RIFF")
        time.sleep(0.2)
        client.close()
        with pytest.raises(ClientClosed):
            result.result(timeout=15)


def test_closed_client_says_so(triton: FakeTriton) -> None:
    client = Client(triton.url, protocol=triton.protocol)
    client.transcribe(b"RIFF")
    client.close()
    client.close()
    with pytest.raises(ClientClosed, match="stay inside its `with` block"):
        client.transcribe(b"RIFF")


def test_closed_async_client_says_so(triton: FakeTriton) -> None:
    async def run() -> None:
        client = AsyncClient(triton.url, protocol=triton.protocol)
        await client.transcribe(b"RIFF")
        await client.aclose()
        await client.aclose()
        await client.transcribe(b"RIFF")

    with pytest.raises(ClientClosed):
        asyncio.run(run())


def test_client_that_never_sent_anything_closes() -> None:
    with Client() as client:
        assert repr(client) == "<Client open: model 'asr' of the gRPC server at 127.0.0.1:8001>"
    assert "closed" in repr(client)


def test_forgotten_client_leaves_no_thread(triton: FakeTriton) -> None:
    client = Client(triton.url, protocol=triton.protocol)
    client.transcribe(b"RIFF")
    del client
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "asr-client-http"]


def test_cancelled_task_does_not_wait_for_its_answer(triton: FakeTriton) -> None:
    finish = threading.Event()

    def hang(seen: Seen) -> Transcription:
        finish.wait(20)
        return HELLO

    triton.model = hang

    async def run() -> None:
        async with AsyncClient(triton.url, protocol=triton.protocol) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.transcribe(b"RIFF"), 0.3)

    begin = time.monotonic()
    asyncio.run(run())
    finish.set()
    assert time.monotonic() - begin < 15


def test_a_grpc_connection_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under gevent gRPC counts closes, and one at the end of the process may wait for ever."""
    client = GrpcClient("localhost:9")
    closed: list[int] = []
    close = client._channel.close
    monkeypatch.setattr(client._channel, "close", lambda: (closed.append(1), close()))
    client.close()
    client.close()
    client.__del__()
    assert closed == [1]
