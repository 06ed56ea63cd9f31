"""Callers that hold connections without asking anything, or vanish while they ask: nobody else notices."""

import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from asr_client import Client
from asr_server import TritonServer
from processes import eventually

pytestmark = pytest.mark.e2e
CONNECTIONS = 200
UPLOAD = b"POST /v2/models/asr/infer HTTP/1.1\r\nHost: asr\r\nContent-Length: 5000000\r\n\r\n"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST
# Uploads that never end: the file is endless, as far as this process lives to tell.
GRPC_UPLOAD = """
import sys, threading, asr_client
client = asr_client.Client(sys.argv[1], max_message_bytes=2**30)
client.server_ready()
print("connected", flush=True)
for _ in range(8):
    threading.Thread(target=client.transcribe, args=(bytes(50_000_000),)).start()
"""


def everybody_is_served(server: TritonServer, files: list[bytes], texts: list[str]) -> None:
    with Client(server.grpc_url) as grpc, Client(server.http_url, protocol="http") as http:
        for file, text in zip(files, texts, strict=True):
            assert grpc.transcribe(file).text == http.transcribe(file).text == text


def descriptors(server: TritonServer) -> int:
    process = psutil.Process(server.pid)
    return int(sum(each.num_fds() for each in [process, *process.children(recursive=True)]))


@contextmanager
def connections(url: str, beginning: Callable[[int], bytes]) -> Iterator[list[socket.socket]]:
    """Many connections, on each of which only the beginning of a request has come."""
    host, _, port = url.rpartition(":")
    with ExitStack() as stack:
        opened = []
        for index in range(CONNECTIONS):
            opened.append(stack.enter_context(socket.create_connection((host, int(port)), timeout=20)))
            opened[-1].sendall(beginning(index))
        yield opened


@pytest.mark.parametrize(("protocol", "request_"), [("http", UPLOAD), ("grpc", HTTP2)], ids=["http", "grpc"])
def test_slow_callers_hold_up_nobody_and_leave_no_descriptor(
    protocol: str, request_: bytes, server: TritonServer, files: list[bytes], texts: list[str]
) -> None:
    everybody_is_served(server, files, texts)
    before = descriptors(server)

    with connections(getattr(server, f"{protocol}_url"), lambda index: request_[: 1 + index % len(request_)]) as slow:
        everybody_is_served(server, files, texts)
        for connection in slow[::2]:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    assert eventually(lambda: descriptors(server) <= before + 2)


def test_uploads_that_are_cut_off_leave_nothing_behind(
    server: TritonServer, files: list[bytes], texts: list[str]
) -> None:
    everybody_is_served(server, files, texts)
    before = descriptors(server)

    with connections(server.http_url, lambda index: UPLOAD + bytes(10_000 * (index % 30))) as cut_off:
        for connection in cut_off:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    everybody_is_served(server, files, texts)
    assert eventually(lambda: descriptors(server) <= before + 2)


def test_a_client_that_is_killed_during_its_uploads_leaves_nothing_behind(
    server: TritonServer, files: list[bytes], texts: list[str]
) -> None:
    everybody_is_served(server, files, texts)
    before = descriptors(server)

    with subprocess.Popen(
        [sys.executable, "-c", GRPC_UPLOAD, server.grpc_url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"connected\n"
        sent = psutil.Process(client.pid)
        assert eventually(lambda: sent.memory_info().rss > 500_000_000)  # the messages are made: they are on their way
        client.send_signal(signal.SIGKILL)

    everybody_is_served(server, files, texts)
    assert eventually(lambda: descriptors(server) <= before + 2)
