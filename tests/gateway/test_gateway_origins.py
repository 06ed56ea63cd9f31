"""Pages of other sites, and names that lead here by a trick."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from asr_gateway.app import GatewayOptions
from asr_gateway.keys import add
from gateway_app import service

APP = "https://app.example.com"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, x-stainless-os"}


def asked(
    headers: dict[str, str],
    origins: Sequence[str] = (),
    hosts: Sequence[str] = (),
    path: str = "/v1/models",
    **more: Any,
) -> Any:
    with service(options=GatewayOptions(origins=origins, hosts=hosts), **more) as called:
        method = "OPTIONS" if PREFLIGHT.items() <= headers.items() else "GET"
        return called.http.request(method, path, headers=headers)


def code(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


def test_programs_send_no_origin() -> None:
    answer = asked({})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", [APP, "null", "http://localhost:9", "http://localhost.evil.com"])
def test_a_foreign_page_is_refused(origin: str) -> None:
    for more in ({}, PREFLIGHT):
        answer = asked({"origin": origin, **more})
        assert (answer.status_code, code(answer)) == (403, "origin_not_allowed")
        assert "access-control-allow-origin" not in answer.headers


def test_the_gateway_s_own_page_may_call() -> None:
    assert asked({"origin": "http://localhost"}).status_code == 200
    proxied = {"origin": "https://localhost:8443", "host": "localhost:8443"}  # a proxy speaks TLS
    assert asked(proxied).status_code == 200


def test_an_allowed_page_may_call() -> None:
    answer = asked({"origin": APP}, origins=[f"{APP}/"])
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["vary"] == "origin"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_all_pages_may_call() -> None:
    assert asked({"origin": "null"}, origins=["*"]).headers["access-control-allow-origin"] == "*"


def test_a_preflight_needs_no_key(tmp_path: Path) -> None:
    add(tmp_path / "keys", "alice")
    answer = asked({"origin": APP, **PREFLIGHT}, origins=[APP], keys=tmp_path / "keys")
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_a_page_may_read_why_it_is_refused(tmp_path: Path) -> None:
    add(tmp_path / "keys", "alice")
    answer = asked({"origin": APP}, origins=[APP], keys=tmp_path / "keys")
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == APP


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "LOCALHOST", "192.0.2.7", socket.gethostname()])
def test_hosts_that_no_trick_can_make(host: str) -> None:
    assert asked({"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1.evil.com:80", "", "[::1", "localhost@evil.com"])
def test_a_name_that_was_bound_again_is_refused(host: str) -> None:
    answer = asked({"host": host})
    assert (answer.status_code, code(answer)) == (403, "host_not_allowed")


def test_names_can_be_allowed() -> None:
    assert asked({"host": "stt.internal:8080"}, hosts=["stt.internal"]).status_code == 200
    assert asked({"host": "any.thing"}, hosts=["*"]).status_code == 200


def test_probes_call_by_any_name() -> None:
    assert asked({"host": "pod-7.internal"}, path="/health/live").status_code == 200
