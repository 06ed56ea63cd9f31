"""The resources of the server's processes on this machine: processor, memory, file descriptors and shared memory.

psutil is the maintained library for processes. Linux's /proc adds the shared memory, which psutil lacks.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psutil
from asr_client._address import is_loopback

from asr_loadtest.results import ResourceSample

SHARED_MEMORY = "/dev/shm/"
_BLOCK_BYTES = 512  # the unit of st_blocks
# These programs listen on this machine for a server that runs elsewhere, or in a container outside their processes.
_FORWARDERS = frozenset(("docker-proxy", "kubectl", "rootlessport", "ssh"))
# Between listing and reading, a process may end, or become another user's.
_GONE = (psutil.Error, OSError)


class ServerProcesses:
    """The process that listens at an address of this machine, and all its descendants, as they come and go.

    A sample costs about 3 ms for each process of the server, mostly for the proportional set size, which the kernel
    adds up page by page: take one a second, not a hundred. A server that was restarted is found again.
    """

    def __init__(self, port: int, root: psutil.Process) -> None:
        self._port, self._root = port, root
        self._cpu_s: dict[tuple[int, float], float] = {}  # (pid, time of creation) -> seconds, at the last sample
        self._sampled_s: float | None = None  # monotonic

    @classmethod
    def find(cls, url: str) -> "ServerProcesses | None":
        """Return the processes of the server at HOST:PORT; None: it runs elsewhere, or this user may not watch it."""
        host, _, port = url.rpartition(":")
        if not port.isdecimal() or not is_loopback(host):
            return None
        root = _listener(int(port))
        return None if root is None else cls(int(port), root)

    def sample(self, at_s: float) -> ResourceSample:
        """Return what the processes take now, with `at_s` as the time of the sample; None: nothing readable."""
        processes = self._processes()
        memory, descriptors = _sum(processes, _memory), _sum(processes, _descriptors)
        return ResourceSample(
            at_s=at_s,
            cpu_cores=self._cpu_cores(processes),
            memory_bytes=memory,
            file_descriptors=descriptors,
            shared_memory_bytes=None if descriptors is None else _shared_memory(processes),
            gpu_utilization=None,
            gpu_memory_bytes=None,
        )

    def _processes(self) -> list[psutil.Process]:
        if not self._root.is_running():
            self._root = _listener(self._port) or self._root
        try:
            return [self._root, *self._root.children(recursive=True)]
        except _GONE:
            return []

    def _cpu_cores(self, processes: Sequence[psutil.Process]) -> float | None:
        """Return processor seconds per second since the last sample, without processes that have ended since."""
        now_s, previous_s = time.monotonic(), self._sampled_s
        previous = self._cpu_s
        self._sampled_s, self._cpu_s = now_s, _cpu_times(processes)
        if previous_s is None or now_s <= previous_s or not self._cpu_s:
            return None
        spent_s = sum(seconds - previous.get(key, 0.0) for key, seconds in self._cpu_s.items())
        return spent_s / (now_s - previous_s)


def _listener(port: int) -> psutil.Process | None:
    try:
        connections = psutil.net_connections("tcp")
    except _GONE:
        return None
    for connection in connections:
        # A connection without a process id belongs to another user.
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                process = psutil.Process(connection.pid)
                return None if process.name() in _FORWARDERS else process
            except _GONE:
                return None
    return None


def _cpu_times(processes: Iterable[psutil.Process]) -> dict[tuple[int, float], float]:
    times = {}
    for process in processes:
        try:
            spent = process.cpu_times()
            times[process.pid, process.create_time()] = spent.user + spent.system
        except _GONE:
            continue
    return times


def _sum(processes: Iterable[psutil.Process], value: Callable[[psutil.Process], int]) -> int | None:
    """Return the sum over the processes that can be read; None when none can."""
    values = []
    for process in processes:
        try:
            values.append(value(process))
        except _GONE:
            continue
    return sum(values) if values else None


def _memory(process: psutil.Process) -> int:
    """Return the proportional set size: a page of n processes counts as 1/n in each, and so once in the sum."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)


def _descriptors(process: psutil.Process) -> int:
    return int(process.num_fds())


def _shared_memory(processes: Iterable[psutil.Process]) -> int:
    """Return the bytes of all files in /dev/shm that these processes hold open; each counts once, deleted ones too."""
    files: dict[tuple[int, int], int] = {}
    for process in processes:
        try:
            descriptors = list(Path(f"/proc/{process.pid}/fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                if str(descriptor.readlink()).startswith(SHARED_MEMORY):
                    status = descriptor.stat()  # of the file itself, even when its name was deleted
                    files[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK_BYTES
            except OSError:
                continue  # it was closed meanwhile
    return sum(files.values())
