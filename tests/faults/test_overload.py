"""More than the server can do: what it takes is answered as ever, the rest is told so, and then all is as before."""

import asyncio

import pytest
from asr_client import QueueFull
from asr_loadtest.requests.arrivals import arrivals
from asr_server import TritonServer
from overload import offer, saturate, transcripts

pytestmark = pytest.mark.e2e
SECONDS = 5


def test_what_is_too_much_is_refused_and_nothing_else_changes(
    server: TritonServer, files: list[bytes], texts: list[str]
) -> None:
    capacity = asyncio.run(saturate(server.grpc_url, files, seconds=2))
    due = arrivals("poisson", 5 * capacity, SECONDS, seed=0)

    answers = asyncio.run(offer(server.grpc_url, files, due))

    admitted = [answer for answer in answers if answer.error is None]
    refused = [answer for answer in answers if answer.error is not None]
    assert [answer.text for answer in admitted] == [texts[answer.recording] for answer in admitted]
    assert {answer.error for answer in refused} == {QueueFull}
    assert admitted
    # How fast the refusals come, benchmarks/overload.py measures: here the callers themselves may be late.
    assert refused
    assert asyncio.run(transcripts(server.grpc_url, files)) == texts
