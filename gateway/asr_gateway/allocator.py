"""What the C library does with memory that is free."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT_BYTES = 32 * 2**20
# Larger blocks are mapped, and go back to the system at once. Smaller ones are those of most requests: what is larger
# than 1 MiB waits on a disk.
_MAPPED_BYTES = 4 * 2**20


def keep_some() -> None:
    """Let glibc keep some free memory; other libraries stay as they are.

    By itself it gives the memory of each request back to the system, if no other one is under way, and takes it again
    for the next one: a request of 160 KB then has more than 200 page faults.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES)
