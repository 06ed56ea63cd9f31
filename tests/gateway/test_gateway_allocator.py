"""Memory that a request has freed serves the next one."""

import platform
import subprocess
import sys

import pytest

ROUNDS = 200
SCRIPT = f"""
import resource
import sys
from asr_gateway import allocator

if sys.argv[1] == "kept":
    allocator.keep_some()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def request():
    return [bytearray(160_000) for _ in range(8)]

request()
before = faults()
for _ in range({ROUNDS}):
    request()
print(faults() - before)
held = bytearray(100 * 2**20)
held[::4096] = bytes(len(held[::4096]))
del held
print(int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have their own ways")
def test_freed_memory_is_kept_up_to_a_bound() -> None:
    def run(how: str) -> tuple[int, int]:
        done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
        faults, resident = map(int, done.stdout.split())
        return faults, resident

    (by_default, _), (kept, resident) = run("default"), run("kept")
    assert kept < ROUNDS < by_default
    assert resident < 100 * 2**20
