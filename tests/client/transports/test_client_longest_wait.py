"""How long a request waits while no server has it: on a clock that the test winds, and where nobody answers."""

import asyncio
import math
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from asr_client import (
    AccessDenied,
    AsrError,
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidOption,
    QueueFull,
    RequestInterrupted,
    RetryPolicy,
    ServerUnavailable,
    StreamResult,
    Transcription,
)
from asr_client._calls.protocol import Infer, ServerReady
from asr_client._calls.retry import RetryState, ask, look
from asr_client._calls.steps import Dialogue, Pause, Run, Send
from asr_client._transports.base import CONNECTING_S, Endpoint
from asr_client._transports.http import HttpTransport
from client_caller import Caller
from fake_inference import HELLO, FakeTriton, Seen, serving
from hypothesis import given
from hypothesis import strategies as st

GONE = ServerUnavailable("gone")
FIVE = RetryPolicy(max_wait_s=5)
QUESTION = ServerReady()
RECORDING = Infer("asr", "", b"RIFF", {}, ())


class Taken(Dialogue[bool]):
    """A long recording."""

    was_taken = True


@dataclass
class World:
    """A clock, and a server whose answers take their time, each `(seconds, answer)`. Questions are answered at once."""

    answers: list[tuple[float, AsrError | bool]]
    question: tuple[float, AsrError | bool] = (0.0, True)
    now: float = 100.0
    sent: list[object] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)
    chance: float = 1.0

    def run(
        self,
        policy: RetryPolicy = FIVE,
        timeout_s: float = math.inf,
        state: RetryState | None = None,
        operation: object = RECORDING,
        is_silent: bool = False,
    ) -> object:
        state = state or RetryState(policy, lambda: self.now)
        state.has_answered, state.is_silent = True, is_silent
        run = Run(ask(operation, policy, state, timeout_s, lambda: self.now, lambda: self.chance))  # type: ignore[arg-type]
        while (step := run.step) is not None:
            if isinstance(step, Pause):
                self.now += step.seconds
                run.succeed(None)
                continue
            assert isinstance(step, Send)
            self.sent.append(step.operation)
            self.timeouts.append(step.timeout_s)
            seconds, answer = self.question if step.operation == QUESTION else self.answers.pop(0)
            if step.timeout_s is not None and seconds > step.timeout_s:
                seconds, answer = step.timeout_s, DeadlineExceeded("late", timeout_s=step.timeout_s)
            self.now += seconds
            if isinstance(answer, AsrError):
                run.fail(answer)
            else:
                run.succeed(answer)
        return run.result

    @property
    def passed(self) -> float:
        return self.now - 100.0


@pytest.mark.parametrize("error", [GONE, QueueFull("full")])
@pytest.mark.parametrize("chance", [0.3, 0.7, 1.0])
def test_a_request_is_given_up_when_it_has_waited_for_long_enough(error: AsrError, chance: float) -> None:
    world = World([(0.01, error)] * 1000, (0.01, True), chance=chance)
    with pytest.raises(type(error), match="attempts"):
        world.run()
    assert world.passed == pytest.approx(5, abs=0.2)
    assert world.sent.count(RECORDING) < 30


def test_without_the_bound_it_goes_on_until_the_deadline() -> None:
    world = World([(0.01, GONE)] * 1000)
    with pytest.raises(ServerUnavailable):
        world.run(RetryPolicy(), timeout_s=60)
    assert world.passed > 50
    assert QUESTION not in world.sent


def test_an_earlier_deadline_is_kept() -> None:
    world = World([(0.01, GONE)] * 1000)
    with pytest.raises(ServerUnavailable):
        world.run(timeout_s=2)
    assert world.passed < 2


def test_work_is_no_wait() -> None:
    world = World([(300.0, True)])
    assert world.run()
    assert world.timeouts == [None]


def test_work_that_was_in_vain_is_no_wait() -> None:
    world = World([(1.0, GONE), (300.0, RequestInterrupted("reset")), (1.0, GONE), (300.0, True)], chance=0.5)
    assert world.run()


def test_waits_between_interruptions_add_up() -> None:
    policy = RetryPolicy(max_wait_s=5, max_interruptions=100)
    world = World([(60.0, RequestInterrupted("reset")), (0.01, GONE)] * 1000)
    with pytest.raises(ServerUnavailable):
        world.run(policy)
    interruptions = (world.sent.count(RECORDING) + 1) // 2
    assert interruptions > 1
    assert world.passed - 60 * interruptions == pytest.approx(5, abs=0.2)


def test_an_attempt_that_nobody_took_is_wait() -> None:
    world = World([(2.0, GONE)] * 1000)
    with pytest.raises(ServerUnavailable):
        world.run()
    assert world.passed < 5 + 2 + 0.1


def test_a_long_recording_that_a_stopping_server_had_is_sent_again() -> None:
    world = World([(600.0, ServerUnavailable("the server is stopping")), (600.0, True)])
    assert world.run(operation=Taken())


def test_a_long_recording_without_a_place_is_not_taken() -> None:
    world = World([(2.0, QueueFull("more than it can handle"))] * 1000)
    with pytest.raises(QueueFull):
        world.run(operation=Taken())
    assert world.passed < 5 + 2 + 0.1


def test_the_turn_is_waited_for_as_long() -> None:
    state = RetryState(FIVE)
    first = state.pace.ticket()
    assert state.pace.wait_s(first) is None
    state.pace.done(state.pace.generation, refused=True)  # from now on one at a time
    assert state.pace.wait_s(state.pace.ticket()) is None
    world = World([])
    with pytest.raises(QueueFull, match=r"not sent: .* until the end of its longest wait \(max_wait_s\)$") as caught:
        world.run(state=state)
    assert world.passed == pytest.approx(5, abs=0.01)
    assert caught.value.attempts == 0


def test_a_silent_server_is_asked_before_it_gets_a_recording() -> None:
    world = World([(1.0, True)])
    assert world.run(is_silent=True)
    assert world.sent == [QUESTION, RECORDING]
    assert world.timeouts == [5.0, None]


def test_a_server_that_answers_is_not_asked() -> None:
    world = World([(1.0, True)])
    assert world.run()
    assert world.sent == [RECORDING]


def test_where_nobody_answers_the_bound_ends_the_question() -> None:
    world = World([], (math.inf, True))
    with pytest.raises(ServerUnavailable, match=r"within the longest wait of 5 s \(max_wait_s\): late$"):
        world.run(is_silent=True)
    assert world.passed == 5.0
    assert RECORDING not in world.sent


def test_the_error_names_the_longest_wait_and_not_what_is_left_of_it() -> None:
    world = World([(1.5, GONE)], (math.inf, True), chance=0.5)
    with pytest.raises(ServerUnavailable) as caught:
        world.run()
    assert 0 < world.timeouts[-1] < 3.5
    assert str(caught.value) == (
        "no server has answered within the longest wait of 5 s (max_wait_s): late (after 2 attempts)"
    )


def test_where_nobody_answers_a_short_deadline_is_the_deadline() -> None:
    world = World([], (math.inf, True))
    with pytest.raises(DeadlineExceeded, match="^late within 2 s$"):
        world.run(timeout_s=2, is_silent=True)
    assert world.passed == 2.0


@pytest.mark.parametrize("answer", [False, AccessDenied("no questions"), QueueFull("too many questions")])
def test_any_answer_shows_that_somebody_is_there(answer: AsrError | bool) -> None:
    world = World([(1.0, True)], (0.0, answer))
    assert world.run(is_silent=True)


def test_after_a_failure_the_server_is_asked_again() -> None:
    world = World([(0.0, GONE), (1.0, True)])
    assert world.run()
    assert world.sent == [RECORDING, QUESTION, RECORDING]


@given(
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from([GONE, QueueFull("full"), True])), min_size=1, max_size=40),
    st.floats(0.2, 10),
    st.floats(0, 1),
)
def test_the_bound_holds_for_any_server(
    answers: list[tuple[float, AsrError | bool]], max_wait_s: float, chance: float
) -> None:
    world = World([*answers, (0.0, True)], chance=chance)
    try:
        world.run(RetryPolicy(max_wait_s=max_wait_s, budget=10_000))
    except ServerUnavailable:
        assert world.passed < max_wait_s + 3.1  # the last attempt takes 3 s at most
    taken = sum(seconds for seconds, _ in answers)
    assert world.passed < max_wait_s + taken + 0.1


@pytest.mark.parametrize("max_wait_s", [0, -1, math.nan])
def test_bounds_that_cannot_be(max_wait_s: float) -> None:
    with pytest.raises(InvalidOption, match="max_wait_s is .*; needs seconds above 0, or None"):
        RetryPolicy(max_wait_s=max_wait_s)


def test_a_stream_asks_first_where_the_bound_is_set() -> None:
    state = RetryState(FIVE)
    run = Run(look(FIVE, state, math.inf, lambda: 100.0))
    assert run.step == Send(QUESTION, 5.0)
    run.succeed(True)
    assert run.step is None
    assert not state.is_silent
    assert Run(look(RetryPolicy(), state, math.inf)).step is None


def test_a_stream_whose_deadline_comes_first_names_it() -> None:
    run = Run(look(FIVE, RetryState(FIVE), 0.3, lambda: 100.0))
    with pytest.raises(DeadlineExceeded, match=r"^no answer within 0\.3 s$"):
        run.fail(DeadlineExceeded("no answer", timeout_s=0.2987))


@pytest.fixture
def mute() -> Iterator[str]:
    """An address where the system takes connections, and nobody ever reads or answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


BRIEF = {"retry": RetryPolicy(max_wait_s=0.5), "timeout_s": 100}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_nobody_answers(protocol: str, mute: str, call: Caller) -> None:
    begin = time.monotonic()
    with pytest.raises(ServerUnavailable):
        call(mute, protocol, "transcribe", b"RIFF", client=BRIEF)
    assert time.monotonic() - begin < 20


def test_nobody_hears_a_stream(mute: str) -> None:
    begin = time.monotonic()
    with Client(mute, **BRIEF) as client, pytest.raises(ServerUnavailable):
        list(client.stream([bytes(3200)], sampling_rate=16_000))
    assert time.monotonic() - begin < 20


def test_nobody_hears_an_async_stream(mute: str) -> None:
    async def listen() -> list[StreamResult]:
        async with AsyncClient(mute, **BRIEF) as client:
            return [result async for result in client.stream([bytes(3200)], sampling_rate=16_000)]

    begin = time.monotonic()
    with pytest.raises(ServerUnavailable):
        asyncio.run(listen())
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_next_server_answers_in_time(protocol: str, mute: str, call: Caller) -> None:
    client = {"retry": RetryPolicy(max_wait_s=6), "timeout_s": 100}
    with serving(FakeTriton(protocol)) as triton:
        assert call([mute, triton.url], protocol, "transcribe", b"RIFF", client=client).text == HELLO.text


def test_a_slow_server_is_waited_for(triton: FakeTriton, call: Caller) -> None:
    def slow(seen: Seen) -> Transcription:
        time.sleep(1.2)
        return HELLO

    triton.model = slow
    assert call(triton.url, triton.protocol, "transcribe", b"RIFF", client=BRIEF).text == HELLO.text


def test_a_full_server_is_not_waited_for(triton: FakeTriton, call: Caller) -> None:
    triton.queue_full(times=10_000)
    begin = time.monotonic()
    with pytest.raises(QueueFull):
        call(triton.url, triton.protocol, "transcribe", b"RIFF", client=BRIEF)
    assert time.monotonic() - begin < 20


@pytest.fixture
def no_route() -> Iterator[str]:
    """An address that takes no connection, and does not refuse it: the queue of those to be accepted is full."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as listening:
        address = listening.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        try:
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(address)
            yield f"127.0.0.1:{address[1]}"
        finally:
            for each in waiting:
                each.close()


def test_connecting_over_http_has_a_bound(no_route: str) -> None:
    begin = time.monotonic()
    endpoint = Endpoint(no_route, "http", None, {}, 10_000, connecting_s=0.2)
    with (
        closing(HttpTransport(endpoint)) as transport,
        pytest.raises(ServerUnavailable, match="cannot talk to the HTTP server at 127.0.0.1:.*timeout"),
    ):
        transport.send(QUESTION, 100)
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(("max_wait_s", "connecting_s"), [(None, CONNECTING_S), (0.5, 0.5), (60, CONNECTING_S)])
def test_connecting_takes_no_longer_than_the_wait(max_wait_s: float | None, connecting_s: float) -> None:
    (endpoint,) = Client("localhost:9", retry=RetryPolicy(max_wait_s=max_wait_s))._endpoints
    assert endpoint.connecting_s == connecting_s
