"""HTTP/1.1 on the wire: what clients offer, and what has no end."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import gateway_service
import psutil
import pytest
from gateway_app import BOUNDARY, form
from gateway_service import Gateway

NOBODY = "127.0.0.1:9"  # the port of discard, where nobody listens
# What Java's HttpClient sends with its first request (https://github.com/Kludex/uvicorn/issues/2722).
OFFER = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
BODY = form({"response_format": "runes"})
CHUNKED = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:70], BODY[70:])) + b"0\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
MANY = 1_000 * 2**16  # bytes


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with gateway_service.running(NOBODY, "--max-wait", "0.5") as running:
        yield running


@contextlib.contextmanager
def connected(gateway: Gateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", urlsplit(gateway.url).port or 0), 60) as caller:
        yield caller


def answer(caller: socket.socket) -> tuple[int, str]:
    """Status and body of the next answer."""
    response = http.client.HTTPResponse(caller)
    response.begin()
    return response.status, response.read().decode()


def post(framing: str, offer: str = "") -> bytes:
    head = f"POST /v1/audio/transcriptions?x=%C3%BC HTTP/1.1\r\nhost: localhost\r\n{offer}{framing}\r\n"
    return f"{head}content-type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("framing", "body"), [(f"content-length: {len(BODY)}", BODY), ("transfer-encoding: chunked", CHUNKED)]
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_request_that_offers_another_protocol_is_answered_by_this_one(
    gateway: Gateway, framing: str, body: bytes, at_once: bool
) -> None:
    with connected(gateway) as caller:
        for offer in (OFFER, OFFER, ""):  # the connection stays as it is
            head = post(framing, offer)
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for part in [head + body] if at_once else [head[:90], head[90:], body[:100], body[100:]]:
                caller.sendall(part)
            status, said = answer(caller)
            assert status == 400
            assert "'runes'" in json.loads(said)["error"]["message"]  # the form has been read
        caller.sendall(LIVE + LIVE)
        assert answer(caller)[0] == 200


def test_an_offer_without_a_body(gateway: Gateway) -> None:
    with connected(gateway) as caller:
        for _ in range(2):
            caller.sendall(LIVE.replace(b"\r\n\r\n", b"\r\n" + OFFER.encode() + b"\r\n"))
            assert answer(caller) == (200, '{"status":"live"}')


@pytest.mark.parametrize(
    "nonsense",
    [b"CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"],
)
def test_what_is_no_request_for_a_server_ends_the_connection(gateway: Gateway, nonsense: bytes) -> None:
    with connected(gateway) as caller:
        caller.sendall(nonsense)
        assert answer(caller)[0] == 400
        assert caller.recv(1) == b""
    with connected(gateway) as caller:
        caller.sendall(LIVE)
        assert answer(caller)[0] == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /health/live HTTP/1.1\r\nx: ",
        b"GET /",
        b"GET /health/live HTTP/1.1\r\n" + b"x: y\r\n" * 10_000,
        post("transfer-encoding: chunked") + CHUNKED[:-2] + b"x: ",
        LIVE * 2 + b"GET /health/live HTTP/1.1\r\nx: ",
    ],
    ids=["header", "URL", "headers", "trailer", "third request"],
)
def test_what_has_no_end_takes_no_memory(gateway: Gateway, beginning: bytes) -> None:
    process = psutil.Process(gateway.process.pid)
    with connected(gateway) as caller:
        before = process.memory_info().rss
        said = b""
        with contextlib.suppress(ConnectionError):
            caller.sendall(beginning)
            for _ in range(MANY // 2**16):
                caller.sendall(b"x" * 2**16)
        with contextlib.suppress(ConnectionError):
            while part := caller.recv(2**16):
                said += part
        assert said.startswith(b"HTTP/1.1 ") or not said  # the connection may be reset before it is read
        assert process.memory_info().rss - before < MANY // 2
    with connected(gateway) as caller:
        caller.sendall(LIVE)
        assert answer(caller)[0] == 200


def test_a_body_of_any_size_is_no_head(gateway: Gateway) -> None:
    """Larger than any limit of a head, in pieces smaller than their frames."""
    body = form({"response_format": "runes"}, bytes(2**18))
    chunks = b"".join(b"1;%s\r\n%s\r\n" % (b"x" * 30, body[place : place + 1]) for place in range(len(body)))
    with connected(gateway) as caller:
        caller.sendall(post("transfer-encoding: chunked") + chunks + b"0\r\n\r\n")
        status, said = answer(caller)
    assert (status, "'runes'" in said) == (400, True)
