"""When to send a request again, as steps for a sync or an async driver (`_steps`)."""

import itertools
import math
import random
import threading
import time
from collections.abc import Callable

from asr_client._errors import AsrError
from asr_client._options import RetryPolicy
from asr_client._protocol import Answer, Operation
from asr_client._steps import Pause, Send, Steps

REFUND = 0.2  # retries that one success pays back
_SHORTEST_TIMEOUT_S = 0.001  # for an attempt that a late wake-up left without time


class RetryBudget:
    """How many retries a client may still spend, over all its requests and threads."""

    def __init__(self, size: int) -> None:
        self._size = float(size)
        self._left = float(size)
        self._lock = threading.Lock()

    def spend(self) -> bool:
        """Take one retry; False when there is none left."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def refund(self) -> None:
        """Pay a part of a retry back, for a request that succeeded."""
        with self._lock:
            self._left = min(self._size, self._left + REFUND)


def ask(
    operation: Operation[Answer],
    policy: RetryPolicy,
    budget: RetryBudget,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> Steps[Answer]:
    """Ask until there is an answer or a final error, all within `timeout_s` seconds.

    An error is final when it is not retryable, when no attempts or budget are left, or when the pause would outlast the
    deadline.
    """
    deadline = clock() + timeout_s
    for number in itertools.count(1):
        left_s = max(deadline - clock(), _SHORTEST_TIMEOUT_S)
        try:
            answer: Answer = yield Send(operation, left_s if math.isfinite(left_s) else None)
        except AsrError as error:
            error.attempts = number
            pause_s = policy.ceiling_s(number) * chance()
            if not error.retryable or number >= policy.max_attempts:
                raise
            if clock() + pause_s >= deadline or not budget.spend():
                raise
        else:
            budget.refund()
            return answer
        yield Pause(pause_s)
    raise AssertionError("unreachable: count() has no end")
