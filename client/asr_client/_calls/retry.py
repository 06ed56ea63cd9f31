"""Retries: when a request is sent again, as steps for a sync or an async driver (`steps`).

The budget of retries works as in Finagle and gRPC: a share of the successes plus a few a second, for any number of
callers. So retries cannot keep an overloaded server down.
"""

import itertools
import math
import random
import threading
import time
from collections.abc import Callable

from asr_client._calls.pace import Pace
from asr_client._calls.protocol import Answer, Operation
from asr_client._calls.steps import Pause, Send, Steps
from asr_client._errors import (
    AsrError,
    ClientClosed,
    DeadlineExceeded,
    QueueFull,
    RequestInterrupted,
    ServerUnavailable,
)
from asr_client._options import RetryPolicy

REFUND = 0.2  # retries that one success gives back
ATTEMPTS_UNANSWERED = 5  # about a second, with the pauses of the default policy
_SHORTEST_TIMEOUT_S = 0.001  # for an attempt that woke up after its deadline

Clock = Callable[[], float]


class RetryState:
    """The state of retries that all requests and threads of a client share.

    Attributes:
        pace: limits the requests under way.
        has_answered: whether the server has ever answered.
    """

    def __init__(self, policy: RetryPolicy, clock: Clock = time.monotonic) -> None:
        self._size = float(policy.budget)
        self._per_s = policy.budget_per_s
        self._clock = clock
        self._left = self._size
        self._filled_at = clock()
        self._lock = threading.Lock()
        self.pace = Pace()
        self.has_answered = False

    def spend(self) -> bool:
        """Take one retry from the budget; return False when there is none left."""
        with self._lock:
            now = self._clock()
            self._add(self._per_s * (now - self._filled_at))
            self._filled_at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def note_success(self) -> None:
        """Give a part of a retry back to the budget."""
        self.has_answered = True
        with self._lock:
            self._add(REFUND)

    def note_failure(self, error: AsrError) -> None:
        """Note that the server has answered, if the error comes from the server itself."""
        not_its_own = isinstance(error, ServerUnavailable | DeadlineExceeded | ClientClosed)
        if isinstance(error, QueueFull) or not not_its_own:
            self.has_answered = True

    def _add(self, retries: float) -> None:
        self._left = min(self._size, self._left + retries)


def ask(
    operation: Operation[Answer],
    policy: RetryPolicy,
    state: RetryState,
    timeout_s: float,
    clock: Clock = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> Steps[Answer]:
    """Send the operation until there is an answer or a final error, all within `timeout_s` seconds.

    An error is final when it is not retryable, when no attempts are left, or when the pause would outlast the deadline.
    """
    deadline = clock() + timeout_s
    interruptions = 0
    # A caller without retries (a health check, a load test) wants the server's own answer, and does not wait its turn.
    pace = Pace() if policy.max_attempts == 1 else state.pace
    for number in itertools.count(1):
        try:
            answer: Answer = yield from _send_in_turn(operation, pace, deadline, clock)
        except AsrError as error:
            error.attempts = number
            state.note_failure(error)
            interruptions += isinstance(error, RequestInterrupted)
            if not error.retryable or _is_last(number, interruptions, policy, state):
                raise
            # When the budget is spent, the retry waits for it in steps of the longest pause.
            pauses = itertools.chain([policy.ceiling_s(number)], itertools.repeat(policy.max_backoff_s))
            for ceiling_s in pauses:
                pause_s = ceiling_s * chance()
                if clock() + pause_s >= deadline:
                    raise
                yield Pause(pause_s)
                if state.spend():
                    break
        else:
            state.note_success()
            return answer
    raise AssertionError("unreachable: count() has no end")


def _send_in_turn(operation: Operation[Answer], pace: Pace, deadline: float, clock: Clock) -> Steps[Answer]:
    """Send the operation once, when the client's pace allows it.

    Raises:
        QueueFull: its turn did not come before the deadline.
        AsrError: the attempt failed.
    """
    ticket = pace.ticket()
    try:
        while (wait_s := pace.wait_s(ticket)) is not None:
            if clock() + wait_s >= deadline:
                raise QueueFull("not sent: the server was busy with this client's other requests until the deadline")
            yield Pause(wait_s)
    except BaseException:
        pace.give_up(ticket)
        raise
    generation, succeeded, refused = pace.generation, False, False
    left_s = max(deadline - clock(), _SHORTEST_TIMEOUT_S)
    try:
        answer: Answer = yield Send(operation, left_s if math.isfinite(left_s) else None)
        succeeded = True
    except QueueFull:
        refused = True
        raise
    finally:
        pace.done(generation, succeeded=succeeded, refused=refused)
    return answer


def _is_last(number: int, interruptions: int, policy: RetryPolicy, state: RetryState) -> bool:
    """Return whether attempt `number`, which failed, was the last one allowed."""
    most = policy.max_attempts or (math.inf if state.has_answered else ATTEMPTS_UNANSWERED)
    return number >= most or interruptions >= policy.max_interruptions
