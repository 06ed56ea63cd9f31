"""When a request is sent again, on a clock that the test winds."""

import contextlib
import math
from dataclasses import dataclass, field

import pytest
from asr_client import (
    AsrError,
    DeadlineExceeded,
    InvalidRequest,
    QueueFull,
    RequestInterrupted,
    RetryPolicy,
    ServerUnavailable,
)
from asr_client._calls.protocol import ServerReady
from asr_client._calls.retry import RetryState, ask
from asr_client._calls.steps import Send
from hypothesis import given, settings
from hypothesis import strategies as st


@dataclass
class World:
    """A clock, and a server that takes `answer_s` for each of its answers in turn."""

    answers: list[AsrError | bool]
    answer_s: float = 0.0
    now: float = 100.0
    timeouts: list[float | None] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def state(self, policy: RetryPolicy, has_answered: bool = True) -> RetryState:
        state = RetryState(policy, clock=lambda: self.now)
        state.has_answered = has_answered
        return state

    def run(self, policy: RetryPolicy, timeout_s: float, state: RetryState | None = None) -> bool:
        steps = ask(
            ServerReady(),
            policy,
            state or self.state(policy),
            timeout_s,
            clock=lambda: self.now,
            chance=lambda: 1.0,
        )
        step = next(steps)
        while True:
            try:
                if isinstance(step, Send):
                    self.timeouts.append(step.timeout_s)
                    self.now += self.answer_s
                    answer = self.answers.pop(0)
                    step = steps.throw(answer) if isinstance(answer, AsrError) else steps.send(answer)
                else:
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                    step = steps.send(None)
            except StopIteration as stop:
                return stop.value


def test_pauses_double_up_to_their_limit() -> None:
    world = World([*(QueueFull("full") for _ in range(5)), True])
    world.run(RetryPolicy(max_attempts=9, first_backoff_s=1, max_backoff_s=5), 100)
    assert world.pauses == [1, 2, 4, 5, 5]


def test_all_attempts_share_one_deadline() -> None:
    world = World([QueueFull("full"), QueueFull("full"), True], answer_s=2)
    world.run(RetryPolicy(first_backoff_s=1), 10)
    assert world.timeouts == [10, 7, 3]


@pytest.mark.parametrize(
    ("timeout_s", "answer_s", "named"),
    [(0.3, 0.0996, "0.3"), (10, 3.3, "10"), (1200, 400, "1200"), (0.25, 0.08, "0.25")],
)
def test_the_error_of_the_deadline_names_all_of_it(timeout_s: float, answer_s: float, named: str) -> None:
    world = World([QueueFull("full"), QueueFull("full"), DeadlineExceeded("no answer", timeout_s=1e-3, detail="slow")])
    world.answer_s = answer_s
    with pytest.raises(DeadlineExceeded) as caught:
        world.run(RetryPolicy(first_backoff_s=1e-4), timeout_s)
    assert len(world.timeouts) == 3
    assert str(caught.value) == f"no answer within {named} s: slow (after 3 attempts)"
    assert caught.value.public == f"no answer within {named} s"
    assert caught.value.timeout_s == timeout_s


def test_the_error_of_the_deadline_keeps_words_of_its_own() -> None:
    with pytest.raises(DeadlineExceeded, match="^no sign of life$"):
        World([DeadlineExceeded("no sign of life")]).run(RetryPolicy(), 10)


def test_no_pause_outlasts_the_deadline() -> None:
    world = World([QueueFull("full"), True])
    with pytest.raises(QueueFull):
        world.run(RetryPolicy(first_backoff_s=2), 1.5)
    assert world.pauses == []


def test_no_deadline_is_no_timeout() -> None:
    world = World([True])
    world.run(RetryPolicy(), math.inf)
    assert world.timeouts == [None]


def test_errors_that_are_not_retryable_are_final() -> None:
    world = World([InvalidRequest("no"), True])
    with pytest.raises(InvalidRequest, match="^no$"):
        world.run(RetryPolicy(), 10)
    assert len(world.timeouts) == 1


def test_last_error_is_raised_and_counts_the_attempts() -> None:
    world = World([ServerUnavailable("first"), ServerUnavailable("second"), QueueFull("third")])
    with pytest.raises(QueueFull, match=r"third \(after 3 attempts\)"):
        world.run(RetryPolicy(max_attempts=3), 10)


def test_spent_budget_holds_retries_back_until_successes_pay_for_one() -> None:
    policy = RetryPolicy(budget=1, budget_per_s=0)
    world = World([QueueFull("full"), True, QueueFull("full"), *(True for _ in range(10))])
    state = world.state(policy)
    assert world.run(policy, 10, state)
    with pytest.raises(QueueFull):
        world.run(policy, 10, state)
    for _ in range(4):
        assert world.run(policy, 10, state)
    world.answers = [QueueFull("full"), True]
    assert world.run(policy, 10, state)


def test_budget_comes_back_with_time_and_the_retry_waits_for_it() -> None:
    policy = RetryPolicy(budget=1, budget_per_s=0.1, first_backoff_s=1, max_backoff_s=4)
    world = World([QueueFull("full"), QueueFull("full"), True])
    assert world.run(policy, 60)
    assert world.pauses == [1, 2, 4, 4]  # the second retry finds nothing left until 10 s have passed
    assert len(world.timeouts) == 3


@given(st.integers(0, 20), st.integers(1, 30), st.floats(0, 20))
def test_retries_of_all_callers_together_stay_within_the_budget(budget: int, callers: int, per_s: float) -> None:
    policy = RetryPolicy(budget=budget, budget_per_s=per_s)
    world = World([])
    state = world.state(policy)
    start = world.now
    for _ in range(callers):
        world.answers = [QueueFull("full") for _ in range(1000)]
        with pytest.raises(QueueFull):
            world.run(policy, 5, state)
    retries = len(world.timeouts) - callers
    assert retries <= budget + per_s * (world.now - start) + 1e-6


def test_patience_without_limit_ends_at_the_deadline() -> None:
    world = World([ServerUnavailable("down") for _ in range(1000)])
    with pytest.raises(ServerUnavailable):
        world.run(RetryPolicy(), 60)
    assert 50 < world.now - 100 < 60


def test_a_server_that_never_answered_is_given_up_soon() -> None:
    world = World([ServerUnavailable("refused") for _ in range(1000)])
    policy = RetryPolicy()
    with pytest.raises(ServerUnavailable, match=r"after 5 attempts"):
        world.run(policy, 60, world.state(policy, has_answered=False))


@pytest.mark.parametrize("answer", [True, QueueFull("full"), InvalidRequest("no")])
def test_any_answer_shows_that_the_server_is_there(answer: AsrError | bool) -> None:
    world = World([answer])
    policy = RetryPolicy(max_attempts=1)
    state = world.state(policy, has_answered=False)
    with contextlib.suppress(AsrError):
        world.run(policy, 10, state)
    assert state.has_answered


@pytest.mark.parametrize("error", [ServerUnavailable("refused"), DeadlineExceeded("late"), RequestInterrupted("reset")])
def test_silence_shows_nothing(error: AsrError) -> None:
    world = World([error])
    policy = RetryPolicy(max_attempts=1)
    state = world.state(policy, has_answered=False)
    with pytest.raises(type(error)):
        world.run(policy, 10, state)
    assert not state.has_answered


def test_a_request_that_keeps_ending_its_server_is_given_up() -> None:
    world = World([RequestInterrupted("reset"), ServerUnavailable("starting")] * 10)
    with pytest.raises(RequestInterrupted):
        world.run(RetryPolicy(), 60)
    assert len(world.timeouts) == 5


@settings(deadline=None)
@given(st.integers(1, 10_000))
def test_ceiling_never_overflows(attempt: int) -> None:
    assert 0 < RetryPolicy().ceiling_s(attempt) <= RetryPolicy().max_backoff_s
