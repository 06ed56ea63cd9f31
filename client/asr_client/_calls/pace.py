"""The number of requests that one client may have under way, which adapts to the server's refusals.

An overloaded server refuses the requests that its queue cannot hold. Callers that only try again race for every free
place, and some of them lose until their deadline. So after a refusal a client sends fewer requests at a time, and the
others wait here, the oldest first. The limit rises by addition and falls by multiplication, as in TCP (Chiu and Jain
1989). Before the first refusal there is no limit.
"""

import math
import threading

DECREASE = 0.7  # of the requests under way when one is refused
_MOST = 10_000.0  # a limit above this is no limit
# Seconds after which a waiting request looks for its turn again; requests further back look less often.
_LOOK_S, _LONGEST_LOOK_S = 0.02, 0.5
_PLACES_PER_LOOK = 8  # how many requests may have left the queue by then


class Pace:
    """Counts a client's requests under way, and queues those that wait for their turn. Threads may share it."""

    def __init__(self) -> None:
        self._limit = math.inf
        self._under_way = 0
        self._waiting: dict[int, None] = {}  # tickets, in their order
        self._next_ticket = 0
        self._generation = 0  # counts decreases: a refusal of a request from before the last one is no news
        self._lock = threading.Lock()

    def ticket(self) -> int:
        """Return a place in the queue for a request."""
        with self._lock:
            self._next_ticket += 1
            self._waiting[self._next_ticket] = None
            return self._next_ticket

    def wait_s(self, ticket: int) -> float | None:
        """Return the seconds after which to ask again; None when it is the ticket's turn, which uses it up."""
        with self._lock:
            free = self._limit - self._under_way
            # With room for all, the place in the queue does not matter.
            rank = 0 if free > len(self._waiting) else list(self._waiting).index(ticket)
            if rank >= free:
                return min(_LONGEST_LOOK_S, _LOOK_S * (1 + rank / _PLACES_PER_LOOK))
            del self._waiting[ticket]
            self._under_way += 1
            return None

    def give_up(self, ticket: int) -> None:
        """Take a request out of the queue, because it will not be sent."""
        with self._lock:
            self._waiting.pop(ticket, None)

    @property
    def generation(self) -> int:
        """Return the current generation. A request remembers it when it is sent, for `done`."""
        return self._generation

    def done(self, generation: int, *, succeeded: bool = False, refused: bool = False) -> None:
        """Note the end of a request: free its place, and adapt the limit."""
        with self._lock:
            if refused and generation == self._generation:
                self._limit = max(1.0, DECREASE * min(self._limit, self._under_way))
                self._generation += 1
            elif succeeded and self._limit < math.inf:
                self._limit += 1 / self._limit
                if self._limit > _MOST:
                    self._limit = math.inf
            self._under_way -= 1
