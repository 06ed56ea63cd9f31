"""What a server leaves on the machine: processes, shared memory, ports."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path


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
    return Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()


def shared_memory(starter: int | None = None) -> list[Path]:
    """The shared-memory files of all servers that a process has started."""
    return sorted(Path("/dev/shm").glob(f"triton-asr-{starter or os.getpid()}-*"))


def can_bind(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, int(port)))
        except OSError:
            return False
        return True


def eventually(condition: Callable[[], bool], timeout_s: float = 20) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
