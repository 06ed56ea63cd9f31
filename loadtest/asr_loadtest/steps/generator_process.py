"""The process of the load generator: enough open files, the processor in time, no pause for garbage."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# Over HTTP, every request under way is a connection. A server does not reach this limit either.
_MAX_FILES = 65_536
# Sending a request takes the processor for a fraction of a millisecond. On the server's own machine the generator would
# wait many milliseconds for the processor behind the server. Threads that are started later inherit the priority.
_NICENESS = -10
# Numbers of young objects that set off a garbage collection: collections are rare, and take a millisecond or so.
_GC_THRESHOLDS = (20_000, 50, 1_000)


def prepare() -> None:
    """Raise the limit of open files, and the priority of this process where the user may (mostly root)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


@contextmanager
def punctual() -> Iterator[None]:
    """Keep garbage collection from delaying requests: freeze existing objects, and collect the others seldom."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
