"""Choosing and checking ports."""

import socket

import pytest
from asr_server import PortInUseError, TritonServerError
from asr_server.ports import Ports, is_loopback, reserve


def test_zero_becomes_three_different_free_ports() -> None:
    ports = reserve("127.0.0.1", Ports(0, 0, 0))
    numbers = {ports.http, ports.grpc, ports.metrics}
    assert len(numbers) == 3
    for number in numbers:
        socket.create_server(("127.0.0.1", number)).close()


def test_given_ports_are_kept() -> None:
    free = reserve("127.0.0.1", Ports(0, 0, 0))
    assert reserve("127.0.0.1", free) == free


@pytest.mark.parametrize(
    ("name", "flag"), [("http", "--http-port"), ("grpc", "--grpc-port"), ("metrics", "--metrics-port")]
)
def test_a_taken_port_is_named_with_its_flag(name: str, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is already in use.*{flag}"):
            reserve("127.0.0.1", Ports(**{"http": 0, "grpc": 0, "metrics": 0, name: port}))


def test_one_port_for_two_services() -> None:
    free = reserve("127.0.0.1", Ports(0, 0, 0)).http
    with pytest.raises(PortInUseError, match=f"port {free} is given twice; choose another one with --grpc-port"):
        reserve("127.0.0.1", Ports(free, free, 0))


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_ours(host: str) -> None:
    with pytest.raises(TritonServerError, match=f"cannot listen on {host}:0"):
        reserve(host, Ports(0, 0, 0))


def test_a_port_that_cannot_be() -> None:
    with pytest.raises(TritonServerError, match=r"70000 is not a port \(--http-port\)"):
        reserve("127.0.0.1", Ports(70000, 0, 0))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("localhost", True),
        ("::1", True),
        ("no such host", True),
        ("0.0.0.0", False),
        ("0", False),
        ("::", False),
        ("[::1]", True),
        ("[::]", False),
        ("192.0.2.1", False),
    ],
)
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
