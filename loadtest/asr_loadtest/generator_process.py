"""What a load generator asks of its own process before it opens a connection: files, and the processor in time."""

import os
import resource
from contextlib import suppress

# By HTTP, every request under way is a connection. A server would not reach this limit either.
_MAX_FILES = 65_536
# Sending a request takes the processor for a fraction of a millisecond; on the server's own machine it would else wait
# behind the server for many. Threads that are started later have the same.
_NICENESS = -10


def prepare() -> None:
    """Raise the limit of open files, and the priority where this user may: root, mostly."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, min(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
