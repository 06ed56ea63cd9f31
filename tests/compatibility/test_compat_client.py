"""How clients of Triton elsewhere fail the program around them; docs/compatibility.md has the sources."""

import asyncio
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from asr_client import AsyncClient, Client, DecodeOptions, InvalidOption, MessageTooLarge, Outcome, RetryPolicy
from asr_client.testing import MockTransport
from fake_inference import HELLO, FakeTriton, serving

Protocol = Literal["grpc", "http"]
RIFF = b"RIFF1234"


@pytest.fixture(params=["grpc", "http"])
def triton(request: pytest.FixtureRequest) -> Iterator[FakeTriton]:
    with serving(FakeTriton(request.param)) as fake:
        yield fake


@pytest.mark.parametrize(
    ("url", "protocol", "message"),
    [
        ("http://host:8000", "http", r"needs HOST:PORT without a scheme: Client\('host:8000', protocol='http'\)"),
        ("https://host:8000/", "http", r"Client\('host:8000', protocol='http', tls=True\)"),
        ("grpc://host:8001", "grpc", r"Client\('host:8001', protocol='grpc'\)"),
        ("dns:///host:8001", "grpc", r"Client\('host:8001', protocol='grpc'\)"),
        ("host:99999", "grpc", "needs a port from 1 to 65535"),  # gRPC takes it modulo 65536
        ("host:0", "grpc", "needs a port from 1 to 65535"),
        ("host:port", "http", "needs a port from 1 to 65535"),
        ("host:", "grpc", "needs a port from 1 to 65535"),
        (":8001", "grpc", r"needs HOST:PORT, an IPv6 address in brackets, as in \[::1\]:8001"),
        ("::1", "grpc", r"an IPv6 address in brackets"),
        ("::1:8001", "http", r"an IPv6 address in brackets"),
        ("host:8001/v2", "grpc", "needs HOST:PORT alone"),
        ("host:8001\n", "grpc", "needs HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_at_once(url: str, protocol: Protocol, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Client(url, protocol=protocol)


@pytest.mark.parametrize(
    ("url", "protocol", "address"),
    [
        ("host:8001/", "grpc", "host:8001"),
        ("[::1]:8001", "grpc", "[::1]:8001"),
        ("host", "grpc", "host"),
        ("unix:/run/triton.sock", "grpc", "unix:/run/triton.sock"),
        ("ipv4:10.0.0.1:8001,10.0.0.2:8001", "grpc", "ipv4:10.0.0.1:8001,10.0.0.2:8001"),
        ("host:8000/triton/", "http", "host:8000/triton"),
    ],
)
def test_other_ways_to_write_an_address_are_kept(url: str, protocol: Protocol, address: str) -> None:
    assert f"server at {address}>" in repr(Client(url, protocol=protocol))


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"x-user": "José"}, "has 'é' in the value of 'x-user'; needs printable ASCII"),
        ({"x-user": "a\nb: c"}, r"has '\\n' in the value of 'x-user'"),
        ({"x-count": 1}, "has a value of type int for 'x-count'; needs str"),
        ({"x user": "a"}, "has the name 'x user'; needs letters"),
        ({"größe": "a"}, "has the name 'größe'"),
        ({"": "a"}, "has the name ''"),
        ({"trace-bin": "a"}, "not -bin at its end"),
    ],
)
def test_a_header_that_cannot_travel_is_refused_at_once(headers: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Client("host:8001", headers=headers)


def test_the_value_of_a_header_is_not_shown() -> None:
    with pytest.raises(InvalidOption) as caught:
        Client("host:8001", headers={"authorization": "Bearer s3cret\n"})
    assert "s3cret" not in str(caught.value)


PROGRAM = """
import sys
from asr_client import AsrError, Client, RetryPolicy
with Client(sys.argv[1], protocol=sys.argv[2], timeout_s=20, retry=RetryPolicy(max_attempts=1)) as client:
    try:
        print(client.transcribe(b"RIFF1234").text)
    except AsrError as error:
        print(type(error).__name__, error)
"""


def said(url: str, protocol: Protocol, **environment: str) -> str:
    """What a program says whose environment names a proxy that is not there."""
    run = [sys.executable, "-c", PROGRAM, url, protocol]
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(run, env=clean | environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_no_proxy_is_asked_for_this_machine(triton: FakeTriton, variable: str) -> None:
    assert said(triton.url, triton.protocol, **{variable: "http://127.0.0.1:9"}) == HELLO.text


def test_a_proxy_in_the_way_is_named() -> None:
    message = said("triton.invalid:8001", "grpc", http_proxy="http://127.0.0.1:9")
    assert message.startswith("ServerUnavailable")
    assert "http_proxy is set, and gRPC goes through that proxy unless no_proxy names the host" in message


LOOPS = """
import asyncio, sys
from asr_client import AsyncClient
client = AsyncClient(sys.argv[1], protocol=sys.argv[2], timeout_s=20)  # before there is any loop
print(*(asyncio.run(client.transcribe(b"RIFF1234")).text for _ in range(3)), sep=", ")
asyncio.run(client.aclose())
"""


# A process of its own: connections that a loop leaves open have aiohttp's warnings, which are for the caller to see.
def test_an_async_client_goes_from_one_loop_to_the_next(triton: FakeTriton) -> None:
    run = [sys.executable, "-c", LOOPS, triton.url, triton.protocol]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == f"{', '.join([HELLO.text] * 3)}\n"


def test_an_async_client_in_two_loops_at_once_is_refused(triton: FakeTriton) -> None:
    opened, finished = threading.Event(), threading.Event()

    async def first(client: AsyncClient) -> None:
        async with client:
            await client.transcribe(RIFF)
            opened.set()
            await asyncio.to_thread(finished.wait)

    async def second(client: AsyncClient) -> None:
        await client.transcribe(RIFF)

    client = AsyncClient(triton.url, protocol=triton.protocol, timeout_s=20)
    thread = threading.Thread(target=lambda: asyncio.run(first(client)))
    thread.start()
    try:
        assert opened.wait(20)
        with pytest.raises(InvalidOption, match="in use in another event loop; make one for each loop"):
            asyncio.run(second(client))
    finally:
        finished.set()
        thread.join()


def test_a_client_works_where_a_loop_is_running_as_in_a_notebook(triton: FakeTriton) -> None:
    async def cell() -> str:
        with Client(triton.url, protocol=triton.protocol, timeout_s=20) as client:
            return client.transcribe(RIFF).text

    assert asyncio.run(cell()) == HELLO.text


def _in_another_process(client: Client) -> str:
    with client:
        return client.transcribe(RIFF).text


def test_a_client_goes_to_another_process(triton: FakeTriton) -> None:
    with Client(triton.url, protocol=triton.protocol, headers={"x-trace": "7"}, timeout_s=60) as client:
        assert client.transcribe(RIFF).text == HELLO.text
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_in_another_process, [client]) == HELLO.text
        assert client.transcribe(RIFF).text == HELLO.text
    assert [seen.headers.get("x-trace") for seen in triton.seen] == ["7"] * 3


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_copy_has_the_same_settings(kind: type[Client] | type[AsyncClient]) -> None:
    policy = RetryPolicy(max_attempts=2)
    original = kind(["host:1", "other:1"], protocol="http", model="en", model_version="3", timeout_s=7, retry=policy, tls=True)
    for other in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert type(other) is kind
        settings = [vars(client) for client in (original, other)]
        for name in ("_endpoints", "_model", "_model_version", "_timeout_s", "_retry"):
            assert settings[0][name] == settings[1][name], name


def test_a_client_with_a_transport_of_its_own_is_not_copied() -> None:
    client = Client(transport=MockTransport(lambda request: HELLO))
    with pytest.raises(TypeError, match="was given its transport, and cannot be pickled or copied"):
        pickle.dumps(client)


def test_results_options_and_errors_go_to_another_process() -> None:
    error = MessageTooLarge("too large", size_bytes=9, limit_bytes=8)
    outcome = pickle.loads(pickle.dumps(Outcome(0, "a.wav", error=error)))
    assert (str(outcome.error), outcome.error.size_bytes, outcome.error.limit_bytes) == ("too large", 9, 8)
    for whole in (HELLO, DecodeOptions(nbest=3), RetryPolicy(budget=1)):
        assert pickle.loads(pickle.dumps(whole)) == whole
