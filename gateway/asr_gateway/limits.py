"""What a caller may ask for: bytes of an upload, requests under way, requests a minute."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from asr_gateway.errors import ApiError, retry_after

MIB = 2**20
_MOST_CALLERS = 10_000  # whose rate is remembered; beyond that, whoever has been silent longest is forgotten


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """The limits of a gateway."""

    upload_bytes: int = 500 * MIB  # of a whole request; OpenAI's own limit is 25 MB
    upload_silence_s: float = 60.0  # longest time in which an upload may bring nothing
    requests: int = 64  # under way at a time; each may hold a file of `upload_bytes`
    sockets: int = 64  # open at a time; each may hold a recording of `upload_bytes`
    per_minute: float | None = None  # requests and items of each key, or of each address where no key is needed


class Limits:
    """Counts what is under way, and refuses at once what is too much."""

    def __init__(self, options: LimitOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._rate = None if options.per_minute is None else Rate(options.per_minute, clock)
        self.under_way = 0

    @property
    def upload_bytes(self) -> int:
        """Return the size of the largest recording."""
        return self._options.upload_bytes

    def count(self, caller: str) -> None:
        """Count a recording of this caller.

        Raises:
            ApiError: there are too many in this minute.
        """
        if self._rate is not None and (wait_s := self._rate.wait_s(caller)):
            raise ApiError(
                429,
                "rate_limit_exceeded",
                f"Too many requests: {self._options.per_minute:g} a minute are allowed. Try again in {wait_s:.0f} s.",
                headers=retry_after(wait_s),
            )

    @contextmanager
    def place(self, caller: str) -> Iterator[Callable[[], None]]:
        """Hold one of the places for requests; the value is a function that gives it back before the end.

        Args:
            caller: whose rate counts.

        Raises:
            ApiError: all places are taken, or the caller asks too often.
        """
        self.count(caller)
        if self.under_way >= self._options.requests:
            raise ApiError(
                429,
                "too_many_requests",
                f"Too many requests at a time: {self._options.requests} are under way. Try again in a second.",
                headers=retry_after(1),
            )
        self.under_way += 1
        is_held = True

        def give_back() -> None:
            nonlocal is_held
            self.under_way -= is_held
            is_held = False

        try:
            yield give_back
        finally:
            give_back()

    def counted(self, headers: Headers, receive: Receive) -> Receive:
        """Return `receive` for an upload: it counts bytes as they come, and waits only so long for the next ones.

        Raises:
            ApiError: the header says already that it is too much. The function raises it when it is, and when nothing
                comes.
        """
        most = self._options.upload_bytes
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > most:
            raise _too_large(most)
        received = 0

        async def counted() -> Message:
            nonlocal received
            try:
                async with asyncio.timeout(self._options.upload_silence_s):
                    message = await receive()
            except TimeoutError:
                waited = f"{self._options.upload_silence_s:g} s"
                raise ApiError(408, "upload_timeout", f"The upload stopped: nothing came for {waited}.") from None
            received += len(message.get("body", b""))
            if received > most:
                raise _too_large(most)
            return message

        return counted


class Rate:
    """A number of requests a minute for each caller: as many at once, then one by one as time passes.

    Args:
        per_minute: requests.
        clock: the time, in seconds.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._per_s = per_minute / 60
        self._most = max(1.0, per_minute)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # of each caller: requests, and the time when it was so

    def wait_s(self, caller: str) -> float:
        """Return 0 and count a request; or the seconds until one is allowed."""
        now = self._clock()
        left, then = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - then) * self._per_s)
        is_allowed = left >= 1
        self._left[caller] = left - is_allowed, now  # the last one now
        if len(self._left) > _MOST_CALLERS:
            del self._left[next(iter(self._left))]
        return 0.0 if is_allowed else (1 - left) / self._per_s


def _too_large(most: int) -> ApiError:
    return ApiError(
        413,
        "file_too_large",
        f"The request is larger than {most / MIB:g} MiB, the limit here: send FLAC or Opus instead of WAV, or a "
        "shorter recording.",
        param="file",
    )
