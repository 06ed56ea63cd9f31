"""How many requests of one client may be under way, learnt from the server's refusals.

A server that sheds load refuses what its queue cannot take. Callers that only try again then race each other for every
place that becomes free; some of them lose until their deadline. So a client whose requests were refused lets fewer go
at a time, and the others wait here, the oldest first: additive increase and multiplicative decrease, as TCP has it
(Chiu and Jain 1989). Before the first refusal there is no limit.
"""

import math
import threading

DECREASE = 0.7  # of the requests under way when one is refused
_MOST = 10_000.0  # a limit that has grown so far is none
# While a request waits for its turn it looks again after so long; those further back look less often.
_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.5
_PLACES_PER_LOOK = 8  # how many may have moved on by then


class Pace:
    """A client's requests that are under way, and those that wait for their turn. Safe to share between threads."""

    def __init__(self) -> None:
        self._limit = math.inf
        self._under_way = 0
        self._waiting: dict[int, None] = {}  # tickets, in their order
        self._next_ticket = 0
        self._generation = 0  # of the limit: refusals of requests from before the last decrease say nothing new
        self._lock = threading.Lock()

    def ticket(self) -> int:
        """The place in the queue of a request that is to be sent."""
        with self._lock:
            self._next_ticket += 1
            self._waiting[self._next_ticket] = None
            return self._next_ticket

    def wait_s(self, ticket: int) -> float | None:
        """None when it is the ticket's turn, which is used up then; else seconds after which to ask again."""
        with self._lock:
            free = self._limit - self._under_way
            # What nobody limits need not be counted through.
            rank = 0 if free > len(self._waiting) else list(self._waiting).index(ticket)
            if rank >= free:
                return min(_LONGEST_LOOK_S, _LOOK_S * (1 + rank / _PLACES_PER_LOOK))
            del self._waiting[ticket]
            self._under_way += 1
            return None

    def give_up(self, ticket: int) -> None:
        """The request will not be sent after all."""
        with self._lock:
            self._waiting.pop(ticket, None)

    @property
    def generation(self) -> int:
        """To be remembered by a request when it is sent, for `done`."""
        return self._generation

    def done(self, generation: int, *, succeeded: bool = False, refused: bool = False) -> None:
        """The request has its answer: let another one go; and learn from this one."""
        with self._lock:
            if refused and generation == self._generation:
                self._limit = max(1.0, DECREASE * min(self._limit, self._under_way))
                self._generation += 1
            elif succeeded and self._limit < math.inf:
                self._limit += 1 / self._limit
                if self._limit > _MOST:
                    self._limit = math.inf
            self._under_way -= 1
