"""How many requests the preprocess step takes, from what Triton's metrics say."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Protocol

import pytest
from asr_serving.overload import backlog
from asr_serving.overload.backlog import Backlog


class Triton:
    """Its metrics, over HTTP; `waiting` and `done` for each model."""

    def __init__(self) -> None:
        self.waiting, self.done = {"acoustic": 0}, {"acoustic": 0}
        self.hangs_up_after_answers = self.is_silent = False
        triton = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if triton.is_silent:
                    self.close_connection = True
                    return
                text = "".join(
                    f'# TYPE of it\n{name}{{model="{model}",version="1"}} {value}\n'
                    for name, values in (
                        ("nv_inference_request_success", triton.done),
                        ("nv_inference_pending_request_count", triton.waiting),
                    )
                    for model, value in values.items()
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                self.close_connection = triton.hangs_up_after_answers

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def triton() -> Iterator[Triton]:
    triton = Triton()
    yield triton
    triton.close()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Make(Protocol):
    def __call__(
        self, address: str, log: list[str] | None = None, clock: Clock | None = None, **feeds: int
    ) -> Backlog: ...


@pytest.fixture
def make() -> Iterator[Make]:
    with ExitStack() as closing:

        def one(address: str, log: list[str] | None = None, clock: Clock | None = None, **feeds: int) -> Backlog:
            warn = [].append if log is None else log.append
            return closing.enter_context(
                contextlib.closing(Backlog(address, feeds or {"acoustic": 16}, warn, clock or Clock()))
            )

        yield one


@pytest.mark.parametrize(("waiting", "taken"), [(0, 8), (10, 6), (16, 0), (40, 0)])
def test_as_many_as_the_queue_has_room_for(make: Make, triton: Triton, waiting: int, taken: int) -> None:
    triton.waiting["acoustic"] = waiting
    assert make(triton.address).take(8) == taken


def test_of_two_models_that_share_the_step_the_one_with_room_counts(make: Make, triton: Triton) -> None:
    triton.waiting |= {"acoustic": 16, "en_acoustic": 5, "of somebody else": 0}
    assert make(triton.address, acoustic=16, en_acoustic=10).take(8) == 5


def test_a_model_that_is_not_loaded_bounds_nothing(make: Make, triton: Triton) -> None:
    assert make(triton.address, old_acoustic=1).take(8) == 8


def test_under_lasting_overload_the_queue_is_as_short_as_the_model_is_slow(make: Make, triton: Triton) -> None:
    clock = Clock()
    queue = make(triton.address, clock=clock)
    rate = 20
    triton.waiting["acoustic"] = 16
    taken = []
    for step in range(200):
        triton.done["acoustic"] = round(rate * step * 0.05)
        triton.waiting["acoustic"] = 16 if step < 100 else 2
        taken.append(queue.take(10))
        clock.now += 0.05
    short = round(rate * backlog.OVERLOAD_WAIT_S)
    assert taken[:100] == [0] * 100
    assert set(taken[110:]) == {short - 2}


def test_a_burst_is_no_overload(make: Make, triton: Triton) -> None:
    clock = Clock()
    queue = make(triton.address, clock=clock)
    queue.take(1)
    clock.now += 10
    triton.waiting["acoustic"] = 16
    assert queue.take(10) == 0
    clock.now += 1
    triton.waiting["acoustic"], triton.done["acoustic"] = 0, 17
    assert queue.take(2) == 2
    clock.now += 1
    assert queue.take(16) == 16


def test_without_metrics_nothing_is_refused_and_the_log_says_so_once(make: Make, triton: Triton) -> None:
    triton.is_silent = True
    log: list[str] = []
    clock = Clock()
    queue = make(triton.address, log, clock)
    assert [queue.take(5), queue.take(500)] == [5, 500]
    clock.now += 60
    assert queue.take(5) == 5
    (line,) = log
    assert "TRITON_ASR_METRICS" in line
    assert "acoustic" in line


def test_metrics_that_fall_silent_let_next_to_nothing_through(make: Make, triton: Triton) -> None:
    queue = make(triton.address)
    assert queue.take(5) == 5
    triton.is_silent = True
    assert queue.take(5) == 1
    triton.is_silent = False
    assert queue.take(5) == 5


def test_a_connection_that_triton_has_closed_is_opened_again(make: Make, triton: Triton) -> None:
    triton.hangs_up_after_answers = True
    queue = make(triton.address)
    assert [queue.take(5), queue.take(5)] == [5, 5]


@pytest.mark.parametrize("address", ["", "127.0.0.1:1"])
def test_nothing_is_asked_for_models_without_bounds(make: Make, address: str) -> None:
    log: list[str] = []
    assert make(address, log, acoustic=0).take(5) == 5
    assert not log


def test_feeds_are_read_as_they_are_written() -> None:
    assert backlog.parse_feeds("acoustic=16,en.acoustic=4") == {"acoustic": 16, "en.acoustic": 4}
    assert backlog.parse_feeds("") == {}


@pytest.mark.parametrize("text", ["acoustic", "=3", "acoustic=", "acoustic=-1", "acoustic=many"])
def test_other_feeds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs MODEL=REQUESTS"):
        backlog.parse_feeds(text)
