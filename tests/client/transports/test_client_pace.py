"""How many requests a client lets go at a time."""

import contextlib

import pytest
from asr_client import AsrError, QueueFull, RetryPolicy
from asr_client._calls.pace import DECREASE, Pace
from asr_client._calls.protocol import ServerReady
from asr_client._calls.retry import RetryState, ask
from asr_client._calls.steps import Pause, Send
from hypothesis import given
from hypothesis import strategies as st


def admitted(pace: Pace, tickets: list[int]) -> list[int]:
    """Those whose turn it is."""
    return [ticket for ticket in tickets if pace.wait_s(ticket) is None]


def refused_at(pace: Pace, under_way: int) -> None:
    """So many requests at once, of which one is refused and the others succeed at the same moment."""
    tickets = [pace.ticket() for _ in range(under_way)]
    assert admitted(pace, tickets) == tickets
    generation = pace.generation
    pace.done(generation, refused=True)
    for _ in range(under_way - 1):
        pace.done(generation)


def test_nothing_waits_before_the_first_refusal() -> None:
    pace = Pace()
    tickets = [pace.ticket() for _ in range(1000)]
    assert admitted(pace, tickets) == tickets


def test_a_refusal_lets_fewer_go_and_the_oldest_first() -> None:
    pace = Pace()
    refused_at(pace, 10)
    tickets = [pace.ticket() for _ in range(20)]
    assert admitted(pace, tickets[::-1]) == tickets[6::-1]
    assert len(tickets[6::-1]) == round(10 * DECREASE)


def test_refusals_of_one_burst_count_once() -> None:
    pace = Pace()
    tickets = [pace.ticket() for _ in range(100)]
    admitted(pace, tickets)
    generation = pace.generation
    for _ in tickets:
        pace.done(generation, refused=True)
    more = [pace.ticket() for _ in range(100)]
    assert len(admitted(pace, more)) == 70


def test_successes_let_more_go_again() -> None:
    pace = Pace()
    refused_at(pace, 10)
    for _ in range(1000):
        ticket = pace.ticket()
        assert pace.wait_s(ticket) is None
        pace.done(pace.generation, succeeded=True)
    assert len(admitted(pace, [pace.ticket() for _ in range(100)])) > 30


def test_one_always_goes() -> None:
    pace = Pace()
    for _ in range(20):
        refused_at(pace, 1)
    assert pace.wait_s(pace.ticket()) is None


def test_who_waits_further_back_looks_less_often() -> None:
    pace = Pace()
    refused_at(pace, 1)
    tickets = [pace.ticket() for _ in range(1000)]
    waits = [pace.wait_s(ticket) for ticket in tickets]
    assert waits[0] is None
    assert waits[1:] == sorted(filter(None, waits))
    assert waits[-1] == 0.5


def run_out(policy: RetryPolicy, state: RetryState) -> object:
    """Ask, with a clock that only the pauses move, until something is sent."""
    now = [0.0]
    steps = ask(ServerReady(), policy, state, 1.0, clock=lambda: now[0])
    step = next(steps)
    while isinstance(step, Pause):
        now[0] += step.seconds
        step = steps.send(None)
    return step


def test_a_request_whose_turn_does_not_come_gives_its_place_up() -> None:
    state = RetryState(RetryPolicy())
    refused_at(state.pace, 1)
    assert state.pace.wait_s(state.pace.ticket()) is None  # takes the only place
    with pytest.raises(QueueFull, match="not sent: the server was busy"):
        run_out(RetryPolicy(max_attempts=2), state)
    state.pace.done(state.pace.generation)
    assert state.pace.wait_s(state.pace.ticket()) is None


def test_who_wants_no_retries_does_not_wait_for_a_turn() -> None:
    state = RetryState(RetryPolicy())
    refused_at(state.pace, 1)
    assert state.pace.wait_s(state.pace.ticket()) is None  # takes the only place
    assert isinstance(run_out(RetryPolicy(max_attempts=1), state), Send)


@given(st.lists(st.sampled_from(["done", "full", "closed"]), min_size=1, max_size=60))
def test_every_place_is_given_back(ends: list[str]) -> None:
    state = RetryState(RetryPolicy())
    for end in ends:
        steps = ask(ServerReady(), RetryPolicy(max_attempts=2), state, 10.0)
        assert isinstance(next(steps), Send)
        with contextlib.suppress(StopIteration, AsrError):
            if end == "closed":
                steps.close()
            elif end == "full":
                steps.throw(QueueFull("full"))
            else:
                steps.send(True)
    assert state.pace._under_way == 0
    assert not state.pace._waiting
