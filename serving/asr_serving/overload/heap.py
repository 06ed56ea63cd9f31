"""Regular return of freed memory to the system."""

import ctypes
import time
from collections.abc import Callable


class Heap:
    """The C library's heap of this process.

    glibc keeps freed memory for later. Recordings of all lengths and formats leave holes that the next recording does
    not fit into, so the process grows for hours to twice what it needs. Returning 50 MB takes 3 ms, and the next long
    recording takes 8 ms more (measured with 20 s at 48 kHz). After every recording, that would be too much.

    Args:
        every_s: seconds between two returns.
        give_back: returns the memory; default: glibc's `malloc_trim`, or nothing if the C library has none (musl).
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        every_s: float = 30.0,
        give_back: Callable[[], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s, self._clock = every_s, clock
        self._give_back = give_back or _malloc_trim()
        self._last = clock()

    def tidy(self) -> None:
        """Return free memory to the system, if it is time."""
        if self._clock() - self._last >= self._every_s:
            self._give_back()
            self._last = self._clock()


def _malloc_trim() -> Callable[[], object]:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: trim(0)) if trim else (lambda: None)
