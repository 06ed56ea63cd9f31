"""The choice among several servers, without any network: who gets the next request, and who is left alone.

The server with the fewest requests under way gets the next one. So a server twice as fast gets twice as many, and a
server that hangs gets no more than its share of the requests that may be under way. A server that fails rests, each
time longer. After its rest a question about its readiness goes first, so that no recording has to find out. Where all
rest, requests go on as with a single server: what to try again, and when, is for the client to decide.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable

from asr_client._errors import (
    AsrError,
    ClientClosed,
    DeadlineExceeded,
    InvalidOption,
    ProcessForked,
    QueueFull,
    RequestInterrupted,
    ServerError,
    ServerUnavailable,
)
from asr_client._transports.base import Endpoint

FIRST_REST_S = 0.5
LONGEST_REST_S = 10.0  # so soon does a server that came back get requests again
REFUSED_S = 0.1  # a server with a full queue comes last for about as long as the queue needs to move

# A server that fails fast always has the fewest requests under way, so failures other than silence count, too.
_FAILURES = (ServerUnavailable, DeadlineExceeded, ServerError)
_OUR_OWN = (ClientClosed, InvalidOption, ProcessForked)  # they say nothing of the server

Clock = Callable[[], float]


class Server:
    """What is known of one server. Only `Servers` changes it.

    Attributes:
        number: its place among the servers, from 0.
        endpoint: its address.
        under_way: requests and streams that it has.
        rests_until: time from which it may be tried again; None while it works.
        failures: how often it failed since it last did some work.
        said: the last failure, in words.
    """

    def __init__(self, number: int, endpoint: Endpoint) -> None:
        self.number = number
        self.endpoint = endpoint
        self.under_way = 0
        self.rests_until: float | None = None
        self.failures = 0
        self.said = ""
        self.refused_until = 0.0
        self.is_asked = False  # whether a question about its readiness is under way
        self.news = 0  # counts what was learnt of it
        self.turn = 0  # of its last request


class Place:
    """The place of one request or stream at a server, to be given back with `Servers.leave`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._known = server.news

    @property
    def is_news(self) -> bool:
        """Return whether nothing was learnt of the server since the request was sent."""
        return self._known == self.server.news


class Servers:
    """Chooses among the servers of a client. Threads may share it.

    Args:
        endpoints: of the servers.
        clock: returns seconds that only grow.
        chance: returns a number from 0 to 1, which keeps clients from asking all at the same time.
    """

    def __init__(
        self, endpoints: Iterable[Endpoint], clock: Clock = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self.all = tuple(Server(number, endpoint) for number, endpoint in enumerate(endpoints))
        self._clock = clock
        self._chance = chance
        self._turn = 0
        self._lock = threading.Lock()

    def to_ask(self) -> Server | None:
        """Return a server whose rest is over; the caller asks whether it is ready, and then calls `answered`."""
        with self._lock:
            for server in self.all:
                if not server.is_asked and self._rest_is_over(server):
                    server.is_asked = True
                    return server
            return None

    def answered(self, server: Server, is_ready: bool | None) -> None:
        """Note the answer of a server from `to_ask`; None: nobody waited for it."""
        with self._lock:
            server.is_asked = False
            if is_ready:
                server.rests_until = None
                server.news += 1
            elif is_ready is not None:
                self._rest(server)

    def take(self, *, without: Iterable[Server] = (), unasked: bool = False) -> Place | None:
        """Return a place at the best server that works.

        Where none works, it is the server whose rest ends first; None if `without` names servers, which were tried.
        With `unasked`, a server whose rest is over counts among those that work.
        """
        with self._lock:
            tried = set(without)
            working = [
                server
                for server in self.all
                if server not in tried and (server.rests_until is None or (unasked and self._rest_is_over(server)))
            ]
            if working:
                now = self._clock()
                best = min(working, key=lambda it: (it.refused_until > now, it.under_way, it.turn))
            elif tried:
                return None
            else:
                best = min(self.all, key=lambda it: (it.rests_until or 0.0, it.under_way))
            self._turn += 1
            best.turn = self._turn
            best.under_way += 1
            return Place(best)

    def leave(self, place: Place) -> None:
        """Give a place back."""
        with self._lock:
            place.server.under_way -= 1

    def succeeded(self, place: Place) -> None:
        """Note an answer: the server works."""
        with self._lock:
            self._works(place.server)

    def failed(self, place: Place, error: AsrError) -> None:
        """Note an error. A failure counts once for all requests that it hit. A refused recording is an answer."""
        server = place.server
        with self._lock:
            if isinstance(error, _OUR_OWN):
                return
            if isinstance(error, QueueFull):
                server.refused_until = self._clock() + REFUSED_S
            elif isinstance(error, _FAILURES):
                server.said = str(error)
                if place.is_news:
                    self._rest(server)
                return
            self._works(server)

    def none_works(self) -> ServerUnavailable:
        """Return the error when all servers failed one after the other."""
        told = "; ".join(dict.fromkeys(server.said for server in self.all if server.said))
        return ServerUnavailable(f"none of the {len(self.all)} servers takes requests: {told}")

    def _rest_is_over(self, server: Server) -> bool:
        return server.rests_until is not None and server.rests_until <= self._clock()

    def _works(self, server: Server) -> None:
        server.rests_until = None
        server.failures = 0
        server.news += 1

    def _rest(self, server: Server) -> None:
        longest_s = min(LONGEST_REST_S, FIRST_REST_S * 2.0 ** min(server.failures, 60))
        server.rests_until = self._clock() + longest_s * (0.5 + self._chance() / 2)
        server.failures += 1
        server.news += 1


def got_nothing(error: AsrError) -> bool:
    """Return whether the request did not reach a working server, so that another one can have it at once."""
    return isinstance(error, ServerUnavailable) and not isinstance(error, QueueFull | RequestInterrupted)
