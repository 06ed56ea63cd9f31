"""Clients in forked processes, as multiprocessing and gunicorn make them: an answer, or an error that names it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_inference import FakeTriton

SCRIPT = Path(__file__).with_name("forking.py")
HELLO = "hello world"
REFUSED = r"ProcessForked: this process was forked .* while gRPC was in use"


def said(triton: FakeTriton, case: str, **environment: str) -> list[list[str]]:
    """Who said what, in the order of time; no process of the program may hang, nor warn of anything."""
    command = [sys.executable, "-W", "error", str(SCRIPT), triton.url, triton.protocol, case]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )
    complaints = [line for line in done.stderr.splitlines() if "skipping fork() handlers" not in line]  # gRPC's own
    assert (done.returncode, complaints) == (0, [])
    return [line.split(": ", 1) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("case", ["inherited", "another", "another_model"])
def test_a_forked_process_gets_its_own_connection(triton: FakeTriton, case: str) -> None:
    assert said(triton, case) == [["parent", HELLO], ["child", HELLO], ["parent", HELLO]]


def test_grpc_that_cannot_be_forked_says_so(grpc_triton: FakeTriton) -> None:
    (_, before), (_, child), (_, after) = said(grpc_triton, "inherited", GRPC_ENABLE_FORK_SUPPORT="0")
    assert (before, after) == (HELLO, HELLO)
    assert re.match(REFUSED, child)


def test_asyncio_in_parent_and_child(triton: FakeTriton) -> None:
    (_, before), (_, child), (_, after) = said(triton, "asynchronous")
    assert (before, after) == (HELLO, HELLO)  # the parent's connection is unharmed
    assert re.match(REFUSED if triton.protocol == "grpc" else HELLO, child)


def test_a_client_that_was_not_used_before_the_fork(triton: FakeTriton) -> None:
    assert said(triton, "unused") == [["child", HELLO], ["parent", HELLO]]


def test_a_client_that_was_closed_before_the_fork(triton: FakeTriton) -> None:
    parent, child, (_, closed) = said(triton, "closed")
    assert (parent, child) == (["parent", HELLO], ["child", HELLO])
    assert closed.startswith("ClientClosed: the client is closed")


def test_a_fork_while_other_threads_have_requests_under_way(triton: FakeTriton) -> None:
    *children, parent = said(triton, "busy")
    assert parent == ["parent", HELLO]
    assert len(children) == 5
    assert all(re.match(REFUSED if triton.protocol == "grpc" else HELLO, child) for _, child in children)


def test_results_that_threads_of_the_parent_were_to_bring(triton: FakeTriton) -> None:
    (_, first), (_, child), (_, rest) = said(triton, "batch")
    assert (first, rest) == (HELLO, "19")
    assert re.match(r"ProcessForked: transcribe_iter was begun in process \d+, and this is its fork \d+", child)


def test_a_live_stream_of_the_parent(grpc_triton: FakeTriton) -> None:
    def hear(piece: bytes, number: int, is_last: bool) -> dict[str, Any]:
        return {"PARTIAL": f"piece {number}", "STABLE": 0, "FINALS": [], "DURATION": 1.0}

    grpc_triton.live_model = hear
    (_, first), (_, child), (_, last) = said(grpc_triton, "stream")
    assert (first, last) == ("piece 0", "piece 4")
    assert child.startswith("ProcessForked: the stream was begun in process")


def test_a_transport_of_the_callers_own(grpc_triton: FakeTriton) -> None:
    assert said(grpc_triton, "mock") == [["parent", "from a mock"], ["child", "from a mock"]]
