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
from asr_client._calls.protocol import Answer, Operation, ServerReady
from asr_client._calls.steps import Dialogue, Pause, Send, Steps
from asr_client._errors import (
    AccessDenied,
    AsrError,
    ClientClosed,
    DeadlineExceeded,
    InvalidOption,
    InvalidRequest,
    ModelNotFound,
    ProcessForked,
    QueueFull,
    RequestInterrupted,
    ServerError,
    ServerUnavailable,
)
from asr_client._options import RetryPolicy

REFUND = 0.2  # retries that one success gives back
ATTEMPTS_UNANSWERED = 5  # about a second, with the pauses of the default policy
_SHORTEST_TIMEOUT_S = 0.001  # for an attempt that woke up after its deadline
# At the end of a request's longest wait: what is left for the last attempt, and what is not worth another pause.
_LAST_ATTEMPT_S, _SHORTEST_PAUSE_S = 0.1, 0.05
# Errors that somebody at the address has answered with.
_ANSWERS = (AccessDenied, InvalidRequest, ModelNotFound, QueueFull, ServerError)

Clock = Callable[[], float]


class RetryState:
    """The state of retries that all requests and threads of a client share.

    Attributes:
        pace: limits the requests under way.
        has_answered: whether the server has ever answered.
        is_silent: whether the last thing that was learnt of the server is that it does not answer; true at first.
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
        self.is_silent = True

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
        self.note_answer()
        with self._lock:
            self._add(REFUND)

    def note_answer(self) -> None:
        """Note that the server has answered."""
        self.has_answered = True
        self.is_silent = False

    def note_failure(self, error: AsrError) -> None:
        """Note whether the error comes from the server itself, which is an answer."""
        if isinstance(error, ClientClosed | InvalidOption | ProcessForked):
            return
        if isinstance(error, ServerUnavailable | DeadlineExceeded) and not isinstance(error, QueueFull):
            self.is_silent = True
        else:
            self.note_answer()

    def _add(self, retries: float) -> None:
        self._left = min(self._size, self._left + retries)


class Limits:
    """The limits of one request: its deadline, and the end of its wait, which the server's work puts off."""

    def __init__(self, timeout_s: float, max_wait_s: float | None, clock: Clock) -> None:
        self.max_wait_s = math.inf if max_wait_s is None else max_wait_s
        self._clock = clock
        self._deadline = clock() + timeout_s
        self._wait_ends = clock() + self.max_wait_s

    @property
    def now_s(self) -> float:
        """Return the time on the clock."""
        return self._clock()

    @property
    def left_s(self) -> float:
        """Return the seconds until the deadline."""
        return self._deadline - self._clock()

    @property
    def wait_s(self) -> float:
        """Return the seconds that the request may still wait for a server."""
        return self._wait_ends - self._clock()

    @property
    def are_bounded(self) -> bool:
        """Return whether the wait has an end of its own."""
        return math.isfinite(self._wait_ends)

    def put_off(self, seconds: float) -> None:
        """Note that a server has worked on the request for so long."""
        self._wait_ends += seconds


def ask(
    operation: Operation[Answer],
    policy: RetryPolicy,
    state: RetryState,
    timeout_s: float,
    clock: Clock = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> Steps[Answer]:
    """Send the operation until there is an answer or a final error, all within `timeout_s` seconds.

    An error is final when it is not retryable, when no attempts are left, when the pause would outlast the deadline,
    when the operation has an obstacle, or when the request has waited for `policy.max_wait_s`.
    """
    limits = Limits(timeout_s, policy.max_wait_s, clock)
    interruptions = 0
    # A caller without retries (a health check, a load test) wants the server's own answer, and does not wait its turn.
    pace = Pace() if policy.max_attempts == 1 else state.pace
    for number in itertools.count(1):
        yield from _turn(pace, limits, number - 1)
        try:
            answer: Answer = yield from _attempt(operation, pace, state, limits)
        except AsrError as error:
            error.attempts = number
            state.note_failure(error)
            name_all_of(timeout_s, error)
            interruptions += isinstance(error, RequestInterrupted)
            if not error.retryable or _is_last(number, interruptions, policy, state):
                raise
            if (obstacle := operation.obstacle) is not None:
                error.obstacle = obstacle
                raise
            # When the budget is spent, the retry waits for it in steps of the longest pause.
            pauses = itertools.chain([policy.ceiling_s(number)], itertools.repeat(policy.max_backoff_s))
            for ceiling_s in pauses:
                # Near the end of the wait pauses are shorter, and leave some time for a last attempt.
                room_s = limits.wait_s - _LAST_ATTEMPT_S
                pause_s = min(ceiling_s, room_s) * chance()
                if room_s < _SHORTEST_PAUSE_S or pause_s >= limits.left_s:
                    raise
                yield Pause(pause_s)
                if state.spend():
                    break
        else:
            state.note_success()
            return answer
    raise AssertionError("unreachable: count() has no end")


def look(policy: RetryPolicy, state: RetryState, timeout_s: float, clock: Clock = time.monotonic) -> Steps[None]:
    """Make sure that somebody answers, if the policy bounds the wait: before a stream, which is not sent again.

    Raises:
        ServerUnavailable: nobody answers.
        DeadlineExceeded: nobody answers within `timeout_s` seconds, which are less than the policy's.
    """
    limits = Limits(timeout_s, policy.max_wait_s, clock)
    if limits.are_bounded:
        try:
            yield from _look(state, limits)
        except AsrError as error:
            state.note_failure(error)
            name_all_of(timeout_s, error)
            raise


def name_all_of(timeout_s: float, error: AsrError) -> None:
    """Let an error of the deadline name the seconds that the caller gave; the attempt had what was left of them."""
    if isinstance(error, DeadlineExceeded) and error.timeout_s is not None:
        error.timeout_s = timeout_s


def _turn(pace: Pace, limits: Limits, attempts: int) -> Steps[None]:
    """Wait until the client's pace allows a request to be sent.

    Raises:
        QueueFull: its turn did not come in time.
    """
    ticket = pace.ticket()
    try:
        while (wait_s := pace.wait_s(ticket)) is not None:
            left_s = min(limits.wait_s, limits.left_s)
            if left_s < _SHORTEST_TIMEOUT_S:
                end = "the deadline" if limits.left_s <= limits.wait_s else "the end of its longest wait (max_wait_s)"
                error = QueueFull(f"not sent: the server was busy with this client's other requests until {end}")
                error.attempts = attempts
                raise error
            yield Pause(min(wait_s, left_s))
    except BaseException:
        pace.give_up(ticket)
        raise


def _attempt(operation: Operation[Answer], pace: Pace, state: RetryState, limits: Limits) -> Steps[Answer]:
    """Send the operation once, and give its place among the requests under way back."""
    generation, succeeded, refused = pace.generation, False, False
    try:
        if limits.are_bounded and state.is_silent:
            yield from _look(state, limits)
        sent_at = limits.now_s
        try:
            answer: Answer = yield Send(operation, _timeout_s(limits.left_s))
        except ServerUnavailable as error:
            if _was_worked_at(operation, error):
                limits.put_off(limits.now_s - sent_at)
            raise
        succeeded = True
    except QueueFull:
        refused = True
        raise
    finally:
        pace.done(generation, succeeded=succeeded, refused=refused)
    return answer


def _look(state: RetryState, limits: Limits) -> Steps[None]:
    """Ask whether anybody answers; a recording would not tell in time, because its answer takes long.

    Raises:
        ServerUnavailable: nobody answers, or not before the request has waited for long enough.
        DeadlineExceeded: nobody answers before the deadline.
    """
    wait_s, left_s = limits.wait_s, limits.left_s
    try:
        yield Send(ServerReady(), _timeout_s(min(wait_s, left_s)))
    except DeadlineExceeded as error:
        if left_s <= wait_s:
            raise
        error.timeout_s = None  # what was left of the wait
        raise ServerUnavailable(
            f"no server has answered within the longest wait of {limits.max_wait_s:g} s (max_wait_s): {error}"
        ) from error
    except _ANSWERS:  # of a proxy, say, that keeps such questions out
        pass
    state.note_answer()


def _was_worked_at(operation: Operation[Answer], error: ServerUnavailable) -> bool:
    """Return whether a server had the request until the error."""
    if isinstance(error, QueueFull):
        return False
    return isinstance(error, RequestInterrupted) or (isinstance(operation, Dialogue) and operation.was_taken)


def _timeout_s(left_s: float) -> float | None:
    left_s = max(left_s, _SHORTEST_TIMEOUT_S)
    return left_s if math.isfinite(left_s) else None


def _is_last(number: int, interruptions: int, policy: RetryPolicy, state: RetryState) -> bool:
    """Return whether attempt `number`, which failed, was the last one allowed."""
    most = policy.max_attempts or (math.inf if state.has_answered else ATTEMPTS_UNANSWERED)
    return number >= most or interruptions >= policy.max_interruptions
