"""What a load generator asks of its own process before it opens a connection: files, and the processor in time."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# By HTTP, every request under way is a connection. A server would not reach this limit either.
_MAX_FILES = 65_536
# Sending a request takes the processor for a fraction of a millisecond; on the server's own machine it would else wait
# behind the server for many. Threads that are started later have the same.
_NICENESS = -10
# Young objects that set off a garbage collection: rare ones, and each of a millisecond or so.
_GC_THRESHOLDS = (20_000, 50, 1_000)


def prepare() -> None:
    """Raise the limit of open files, and the priority where this user may: root, mostly."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


@contextmanager
def punctual() -> Iterator[None]:
    """Keep garbage collection from delaying requests: what is there by now is left alone, the rest seldom looked at."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
