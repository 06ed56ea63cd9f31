"""A bound on the requests that wait for the models after this step.

If those models have no room for a request, the step refuses it before it decodes the audio.
"""

import collections
import http.client
import math
import re
import time
from collections.abc import Callable, Mapping

_PENDING = re.compile(r'^nv_inference_pending_request_count\{model="([^"]*)"[^}]*\} (\d+)', re.MULTILINE)
_DONE = re.compile(r'^nv_inference_request_success\{model="([^"]*)"[^}]*\} (\d+)', re.MULTILINE)
_TIMEOUT_S = 0.25
_PAUSE_S = 5.0  # before the next attempt, if the metrics have never answered
# A queue absorbs bursts. A queue that stays full only makes everybody wait, so it is kept short under lasting overload.
# The idea is CoDel's (Nichols and Jacobson, ACM Queue, 2012); "Fail at Scale" (Maurer, ACM Queue, 2015) describes a
# server that tells bursts from overload.
OVERLOAD_SHARE = 0.5  # of the recent requests refused; from this share on, the model is overloaded
OVERLOAD_WAIT_S = 0.3  # for an overloaded model, in addition to the work that it has begun
_SHARE_OVER_S = 0.3
_RATE_OVER_S = 2.0


def parse_feeds(text: str) -> dict[str, int]:
    """Return how many requests may wait for each model that this step feeds, from `"acoustic=16,en_acoustic=16"`.

    Raises:
        ValueError: the text is malformed.
    """
    feeds = {}
    for pair in filter(None, text.split(",")):
        model, _, queue = pair.rpartition("=")
        if not model or not (queue.isascii() and queue.isdigit()):
            raise ValueError(f"feeds is {text!r}; needs MODEL=REQUESTS, separated by commas: acoustic=16")
        feeds[model] = int(queue)
    return feeds


class Backlog:
    """The requests that wait for the models after this step, according to Triton's metrics.

    The queues of these models have no bound of their own: in Triton 24.10 a bounded queue loses wake-ups, and its model
    then stands still for up to half a second (docs/triton-24.10.md). This class bounds them instead.

    Args:
        address: "HOST:PORT" of Triton's metrics; empty turns the bound off.
        feeds: models, and how many requests may wait for each; 0 for any number.
        warn: called with a line for the log if the metrics do not answer; the queues then have no bound.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        address: str,
        feeds: Mapping[str, int],
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feeds = feeds
        self._warn = warn
        self._clock = clock
        self._address = address
        self._connection: http.client.HTTPConnection | None = None
        if address and feeds and all(feeds.values()):
            self._connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)
        self._has_answered = self._is_warned = False
        self._ask_at = -math.inf
        self._done: collections.deque[tuple[float, dict[str, int]]] = collections.deque()
        self._refused_share, self._asked_at = 0.0, clock()

    def take(self, asked: int) -> int:
        """Return how many of `asked` requests to take; the step refuses the others.

        The step cannot see which ensemble a request belongs to. So a request for a full model gets through while
        another model has room.
        """
        now = self._clock()
        metrics = self._metrics(now)
        if metrics is None:
            # If the metrics have answered before, the server is too busy to answer now: take almost nothing.
            return min(1, asked) if self._has_answered else asked
        waiting = _values(_PENDING, metrics)
        self._done.append((now, _values(_DONE, metrics)))
        while len(self._done) > 1 and self._done[1][0] <= now - _RATE_OVER_S:
            self._done.popleft()
        room = [self._limit(model) - waiting[model] for model in self._feeds if model in waiting]
        taken = min(asked, max(0, *room)) if room else asked
        # Even after a pause, a single call must not decide the share alone.
        weight = 1 - math.exp(-min(now - self._asked_at, _SHARE_OVER_S / 3) / _SHARE_OVER_S)
        self._refused_share += weight * ((asked - taken) / asked - self._refused_share)
        self._asked_at = now
        return taken

    def _limit(self, model: str) -> int:
        """Return how many requests may wait for that model now."""
        (then, before), (now, after) = self._done[0], self._done[-1]
        if self._refused_share < OVERLOAD_SHARE or now == then or model not in before:
            return self._feeds[model]
        # Under overload, this rate is the most that the model can do.
        per_second = (after.get(model, 0) - before[model]) / (now - then)
        return min(self._feeds[model], max(1, round(per_second * OVERLOAD_WAIT_S)))

    def close(self) -> None:
        """Close the connection to the metrics."""
        if self._connection is not None:
            self._connection.close()

    def _metrics(self, now: float) -> str | None:
        if self._connection is None or now < self._ask_at:
            return None
        try:
            metrics = _get(self._connection)
        except (OSError, http.client.HTTPException) as error:
            if not self._has_answered:
                self._ask_at = now + _PAUSE_S
                self._warn_once(error)
            return None
        self._has_answered = True
        return metrics

    def _warn_once(self, error: Exception) -> None:
        if not self._is_warned:
            self._warn(
                f"no metrics at {self._address} ({error}): the queues of {', '.join(self._feeds)} are without bounds; "
                "set TRITON_ASR_METRICS to HOST:PORT of this server's metrics"
            )
        self._is_warned = True


def _get(connection: http.client.HTTPConnection) -> str:
    for attempt in (1, 2):
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # The server may have closed the idle connection; that is no fault, so try once more.
            if attempt == 2 or isinstance(error, TimeoutError):
                raise
    raise AssertionError("unreachable")


def _values(pattern: re.Pattern[str], metrics: str) -> dict[str, int]:
    return {model: int(count) for model, count in pattern.findall(metrics)}
