"""The caller of OpenAI's protocol, and what services do to its connections: raw answers of a server on loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop
from asr_client import DeadlineExceeded, MessageTooLarge, RequestInterrupted, ServerError, ServerUnavailable, Tls
from asr_loadtest.openai import caller as callers
from asr_loadtest.openai import http1
from asr_loadtest.openai.caller import OpenAICaller
from asr_loadtest.openai.endpoint import Endpoint
from certificates import Certificate

BODY = b'{"text": "hello", "usage": {"type": "duration", "seconds": 5}}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ANSWER = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\n{}"
AUDIO = b"RIFF" * 50_000
HUGE = bytes(50_000_000)  # more than the system's buffers of a connection


@dataclass
class Service:
    """A server that answers each request with the next of its answers, the last one for ever.

    Attributes:
        requests: head and body of each that came as a whole.
        connections: that were opened.
    """

    answers: list[bytes]
    ends: bool = False  # the connection, after each answer
    delay_s: float = 0.0
    reads: bool = True  # the whole request before it answers
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if task := asyncio.current_task():
            self.tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                if self.reads:
                    self.requests.append((head, await reader.readexactly(length)))
                await asyncio.sleep(self.delay_s)
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
                if not self.reads:
                    await asyncio.sleep(60)
                if self.ends:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(service: Service, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    server = await asyncio.start_server(service.serve, host, ssl=tls)
    service.port = server.sockets[0].getsockname()[1]
    try:
        name = f"[{host}]" if ":" in host else host
        yield f"https://localhost:{service.port}" if tls else f"http://{name}:{service.port}"
    finally:
        server.close()
        for task in service.tasks:
            task.cancel()
        await asyncio.gather(*service.tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # until their connections are closed


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in each of the loops that generators have."""
    function: Run = request.param
    return function


def endpoint(url: str, timeout_s: float = 10.0, **options: Any) -> Endpoint:
    return Endpoint.at(url, "asr", timeout_s, **options)


async def texts(service: Service, number: int, timeout_s: float = 10.0) -> list[str]:
    """Return the transcripts of so many recordings, one sent after the other."""
    async with running(service) as url, OpenAICaller(endpoint(url, timeout_s)) as caller:
        return [(await caller.transcribe(AUDIO)).text for _ in range(number)]


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        HEAD
        + b"transfer-encoding: chunked\r\n\r\n10\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (BODY[:16], len(BODY) - 16, BODY[16:]),
        b"HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n" + ANSWER,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ANSWER,
        HEAD.lower().replace(b"http/1.1 200 ok", b"HTTP/1.1 200") + b"Content-Length:%d\r\n\r\n" % len(BODY) + BODY,
    ],
    ids=["length", "chunks", "early hints", "two before", "without a reason"],
)
def test_a_connection_is_used_again(run: Run, answer: bytes) -> None:
    async def check() -> None:
        service = Service([answer])
        assert await texts(service, 3) == ["hello"] * 3
        assert service.connections == 1
        assert all(AUDIO in body for _, body in service.requests)

    run(check())


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY,
        HEAD + b"connection: close\r\n\r\n" + BODY,
        HEAD.replace(b"1.1", b"1.0") + b"\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"\r\n" + BODY,
    ],
    ids=["length", "without length", "HTTP/1.0", "after another"],
)
def test_a_connection_ends_with_its_answer(run: Run, answer: bytes) -> None:
    async def check() -> None:
        service = Service([answer], ends=True)
        assert await texts(service, 2) == ["hello"] * 2
        assert service.connections == 2

    run(check())


def test_a_service_that_closes_without_a_word_gets_a_new_connection(run: Run) -> None:
    async def check() -> None:
        service = Service([ANSWER], ends=True)
        async with running(service) as url, OpenAICaller(endpoint(url)) as caller:
            for _ in range(3):
                assert (await caller.transcribe(AUDIO)).text == "hello"
                await asyncio.sleep(0.05)  # until its end has come
        assert service.connections == 3

    run(check())


def test_an_old_connection_is_not_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_IDLE_S", 0.02)

    async def check() -> None:
        service = Service([ANSWER])
        async with running(service) as url, OpenAICaller(endpoint(url)) as caller:
            for pause_s in (0, 0.05):
                await asyncio.sleep(pause_s)
                assert (await caller.transcribe(AUDIO)).text == "hello"
        assert service.connections == 2

    run(check())


def test_requests_at_a_time_have_a_connection_each(run: Run) -> None:
    async def check() -> None:
        service = Service([ANSWER], delay_s=0.05)
        async with running(service) as url, OpenAICaller(endpoint(url)) as caller:
            for _ in range(2):
                await asyncio.gather(*(caller.transcribe(AUDIO) for _ in range(8)))
        assert (service.connections, len(service.requests)) == (8, 16)

    run(check())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (HEAD + b"content-length: 1000\r\n\r\n" + BODY, "ended before the answer"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n10\r\n" + BODY[:16] + b"\r\n", "ended before the answer"),
        (b"", "ended before the answer"),
        (b"HTTP/1.1 200", "ended before the answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", r"not HTTP/1\.1"),
        (HEAD + b"content-length: x\r\n\r\n", r"not HTTP/1\.1"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", r"not HTTP/1\.1"),
    ],
    ids=["cut", "cut chunks", "nothing", "half a head", "another protocol", "no length", "an offer that nobody made"],
)
def test_what_is_no_answer(run: Run, answer: bytes, why: str) -> None:
    async def check() -> None:
        service = Service([answer, ANSWER], ends=True)
        async with running(service) as url, OpenAICaller(endpoint(url)) as caller:
            with pytest.raises(RequestInterrupted, match=f"127.0.0.1:{service.port} ended the connection: .*{why}"):
                await caller.transcribe(AUDIO)
            assert (await caller.transcribe(AUDIO)).text == "hello"
        assert service.connections == 2

    run(check())


def test_an_answer_without_end_is_no_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "_MOST_ANSWER_BYTES", 10_000)

    async def check() -> None:
        for endless in (HEAD + b"x: y\r\n" * 5_000, HEAD + b"content-length: 99999999\r\n\r\n" + bytes(20_000)):
            with pytest.raises(RequestInterrupted, match="more than 10000 bytes"):
                await texts(Service([endless]), 1)

    run(check())


@pytest.mark.parametrize("more", [ANSWER.replace(b"hello", b"wrong"), ANSWER[:30], b"\x00"])
def test_what_comes_after_an_answer_is_not_the_next_answer(run: Run, more: bytes) -> None:
    async def check() -> None:
        service = Service([ANSWER + more, ANSWER])
        async with running(service) as url, OpenAICaller(endpoint(url)) as caller:
            for _ in range(2):
                assert (await caller.transcribe(AUDIO)).text == "hello"
                await asyncio.sleep(0.05)
        assert service.connections == 2

    run(check())


def test_a_refusal_comes_before_the_request_is_sent(run: Run) -> None:
    async def check() -> None:
        service = Service([TOO_LARGE], reads=False)
        async with running(service) as url, OpenAICaller(endpoint(url)) as caller:
            for _ in range(2):
                with pytest.raises(MessageTooLarge, match="HTTP 413"):
                    await caller.transcribe(HUGE)
        assert service.connections == 2  # the rest of a request is on its way on the first one

    run(check())


def test_a_deadline_ends_the_connection(run: Run) -> None:
    async def check() -> None:
        service = Service([ANSWER], delay_s=0.3)
        async with running(service) as url, OpenAICaller(endpoint(url, 0.1)) as caller:
            with pytest.raises(DeadlineExceeded, match=f"no answer from 127.0.0.1:{service.port} within 0.1 s"):
                await caller.transcribe(AUDIO)
            service.delay_s = 0
            assert (await caller.transcribe(AUDIO)).text == "hello"
        assert service.connections == 2

    run(check())


def test_a_service_that_does_not_connect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_CONNECTING_S", 0.1)

    async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def check() -> None:
        server = await asyncio.start_server(says_nothing, "127.0.0.1")
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, OpenAICaller(endpoint(url)) as caller:
            with pytest.raises(ServerUnavailable, match=r"cannot talk to .*: no connection opened within 0\.1 s"):
                await caller.transcribe(AUDIO)
            await asyncio.sleep(0.05)  # until the server has closed it as well

    run(check())


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_connection_that_ends_before_the_request(run: Run, said: bytes) -> None:
    async def greets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    async def check() -> None:
        server = await asyncio.start_server(greets, "127.0.0.1")
        host, port = server.sockets[0].getsockname()[:2]
        async with server:
            _, connection = await asyncio.get_running_loop().create_connection(http1.Connection, host, port)
            await asyncio.sleep(0.05)
            with pytest.raises(http1.Broken, match="before the request was sent"):
                await connection.ask([AUDIO])
            async with OpenAICaller(endpoint(f"http://{host}:{port}")) as caller:
                with pytest.raises(RequestInterrupted):
                    await caller.transcribe(AUDIO)

    run(check())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:80"])
def test_nobody_is_there(run: Run, address: str) -> None:
    async def check() -> None:
        async with OpenAICaller(endpoint(f"http://{address}")) as caller:
            with pytest.raises(ServerUnavailable, match=f"cannot talk to {address}: "):
                await caller.transcribe(AUDIO)

    run(check())


def test_tls(run: Run, certificate: Certificate) -> None:
    async def check() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.cert, certificate.key)
        service = Service([ANSWER])
        async with running(service, tls=context) as url:
            async with OpenAICaller(endpoint(url, tls=Tls(ca_file=certificate.cert))) as caller:
                for _ in range(2):
                    assert (await caller.transcribe(AUDIO)).text == "hello"
            assert service.connections == 1
            async with OpenAICaller(endpoint(url)) as caller:
                with pytest.raises(ServerUnavailable, match="(?i)certificate"):
                    await caller.transcribe(AUDIO)

    run(check())


def test_what_is_sent(run: Run) -> None:
    async def check() -> None:
        service = Service([ANSWER])
        async with running(service, "::1") as url:
            asked = Endpoint.at(f"{url}/a b/ü%20", "asr", 10, headers={"Authorization": "Bearer secret"})
            async with OpenAICaller(asked) as caller:
                await caller.transcribe(AUDIO)
        ((head, body),) = service.requests
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /a%20b/%C3%BC%20/v1/audio/transcriptions HTTP/1.1"
        assert f"host: [::1]:{service.port}" in lines
        assert "authorization: Bearer secret" in lines
        assert f"content-length: {len(body)}" in lines

    run(check())


def test_an_answer_of_something_else(run: Run) -> None:
    async def check() -> None:
        with pytest.raises(ServerError, match="HTTP 307"):
            await texts(Service([b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"]), 1)

    run(check())
