"""What a server leaves on the machine: processes, shared memory, sockets that listen."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def in_session(session: int) -> list[int]:
    """The living processes of a session; a server, its guard and the processes of its models share one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(living([psutil.Process(pid)]))
    return False


def shared_memory(starter: int | None = None) -> list[Path]:
    """The shared-memory files of all servers that a process has started."""
    return sorted(Path("/dev/shm").glob(f"triton-asr-{starter or os.getpid()}-*"))


def family(pid: int) -> list[psutil.Process]:
    """A process and all under it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def living(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended; another process may have the number of one that has."""
    found = []
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def listens(pid: int, address: str) -> bool:
    """Whether this very process listens there; a port that a server gives back may soon be that of another test."""
    port = int(address.rpartition(":")[2])
    found = psutil.Process(pid).net_connections("tcp")
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


def eventually(condition: Callable[[], bool], timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
