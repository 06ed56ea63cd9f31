"""When a request is sent again, on a clock that the test winds."""

import math
from dataclasses import dataclass, field

import pytest
from asr_client import AsrError, InvalidRequest, QueueFull, RetryPolicy, ServerUnavailable
from asr_client._protocol import ServerReady
from asr_client._retry import RetryBudget, ask
from asr_client._steps import Send
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

    def run(self, policy: RetryPolicy, timeout_s: float, budget: RetryBudget | None = None) -> bool:
        steps = ask(
            ServerReady(),
            policy,
            budget or RetryBudget(policy.budget),
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


def test_spent_budget_ends_retries_until_successes_pay_it_back() -> None:
    budget = RetryBudget(1)
    policy = RetryPolicy()
    assert World([QueueFull("full"), True]).run(policy, 10, budget)
    with pytest.raises(QueueFull):
        World([QueueFull("full"), True]).run(policy, 10, budget)
    for _ in range(4):
        assert World([True]).run(policy, 10, budget)
    assert World([QueueFull("full"), True]).run(policy, 10, budget)


@settings(deadline=None)
@given(st.integers(1, 10_000))
def test_ceiling_never_overflows(attempt: int) -> None:
    assert 0 < RetryPolicy().ceiling_s(attempt) <= RetryPolicy().max_backoff_s
