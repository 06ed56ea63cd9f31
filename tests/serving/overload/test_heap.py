"""Freed memory goes back to the system."""

import ctypes
import platform

import psutil
import pytest
from asr_serving.overload.heap import Heap


def test_it_is_given_back_from_time_to_time() -> None:
    now, times = [100.0], []
    heap = Heap(30, lambda: times.append(now[0]), lambda: now[0])
    for now[0] in (100.0, 129.9, 130.0, 131.0, 159.9, 200.0, 229.0, 230.0):
        heap.tidy()
    assert times == [130.0, 200.0, 230.0]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim is glibc's")
def test_glibc_gives_back_what_lies_between_pieces_in_use() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    size = 100_000  # less than what glibc would map by itself
    pieces = [libc.malloc(size) for _ in range(1_000)]
    for piece in pieces:
        ctypes.memset(piece, 1, size)
    for piece in pieces[:-1]:  # the last one keeps the heap from shrinking
        libc.free(piece)
    before = resident_bytes()
    Heap(every_s=0).tidy()
    libc.free(pieces[-1])
    assert before - resident_bytes() > 0.5 * len(pieces) * size


def resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
