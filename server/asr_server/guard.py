"""The guard: the process between the starter and tritonserver, which lets no process outlive the starter.

The starter runs it as `python -I -S guard.py CONTROL_FD JSON`, in a session of its own. The guard runs tritonserver as
its child. It stops tritonserver when the other end of the control socket closes; this also happens when SIGKILL ends
the starter, which can then clean up nothing itself. Then the guard ends the processes that tritonserver left behind
(the Python backend runs every model in a process of its own), removes the shared memory, and exits with tritonserver's
status. It uses only the standard library, because it must start in milliseconds.

After the server was ready once, the guard also restarts tritonserver if it crashes, or if a model's process dies.
Triton 24.10 never restarts such a process: every request to the dead instance fails for ever, while the server and the
model report that they are ready; and unloading such a model never ends (docs/faults.md).
"""

import contextlib
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SHARED_MEMORY = Path("/dev/shm")
# Bytes on the control socket. STOP and the end of the socket let running requests finish; KILL does not. READY says
# that all models are loaded: a crash after that is an accident, and not a fault of the repository.
STOP, KILL, READY = b"S", b"K", b"R"
_CRASHES = {128 + number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)}
_STUB = "triton_python_b"  # triton_python_backend_stub; the kernel keeps only this much of a process's name
# Variable for the models: path of a file that exists when the server is about to stop (model_repository/preprocess).
_STOPPING = "TRITON_ASR_STOPPING"
# Variable for the models: path of a file on which they hold a shared lock while a GPU works (asr_contract/gpu.py).
_GPU_WORK = "TRITON_ASR_GPU_WORK"
_TIMEOUTS = ("drain_timeout_s", "stop_timeout_s")  # until the guard asks tritonserver to stop; from then until it kills
_BUSY_CORES = 0.05  # processor seconds per second; below it, no request is running
_CHECK_S = 0.5  # between two looks at the processes of models; a process dead in two looks was not being unloaded
# A model that dies at each start must not keep the machine busy; deaths more than ten minutes ago do not count.
_FIRST_RESTART_S, _LAST_RESTART_S, _MEMORY_S = 0.0, 30.0, 600.0


def main(control: socket.socket, settings: dict[str, object]) -> int:
    """Run `settings["command"]` until it ends or must end; return its exit status (128 + N if signal N ended it)."""
    libc = ctypes.CDLL(None)
    # Orphans of tritonserver become children of this process, so that it can see them, end them and wait for them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wakeup = _wake_on_signals()
    command = [str(word) for word in settings["command"]]  # type: ignore[attr-defined]
    orders = _Orders(control, wakeup)
    stopping = Path(str(settings["scratch"]), "stopping")
    os.environ[_STOPPING] = str(stopping)
    gpu_work = Path(str(settings["scratch"]), "gpu-work")
    with contextlib.suppress(OSError):  # on a full disk, only processor time tells
        gpu_work.touch()
    os.environ[_GPU_WORK] = str(gpu_work)
    deaths: list[float] = []
    status: int | None = None
    try:
        while status is None:
            child = _spawn(command, libc)
            with contextlib.suppress(ConnectionError):  # the starter is already gone; `orders` will notice it
                control.sendall(f"{child}\n".encode())
            try:
                load = _Load(child, gpu_work)
                status = _supervise(child, orders, load, stopping, *(float(str(settings[key])) for key in _TIMEOUTS))
            finally:
                _end_all(group=child)
                _remove_shared_memory(str(settings["shm_prefix"]))
            if status is None and orders.within(_restart_delay(deaths)):
                return 0
        return status
    finally:
        shutil.rmtree(str(settings["scratch"]), ignore_errors=True)


class _Orders:
    """The events for which this process waits: orders of the starter, signals, and the end of children."""

    def __init__(self, control: socket.socket, wakeup: socket.socket) -> None:
        self._control = control
        self._wakeup = wakeup
        self._starter = os.getppid()
        self.are_to_keep_up = False  # True once the server was ready: from then on the guard restarts it
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        self._poller.register(wakeup, select.POLLIN)

    def wait(self, timeout_s: float) -> bytes | None:
        """Return STOP or KILL; None if no order came within the time or a child has ended."""
        ready = {fd for fd, _ in self._poller.poll(1000 * timeout_s)}
        told = self._control.fileno() in ready and _read(self._control)
        asked = self._wakeup.fileno() in ready and set(self._wakeup.recv(64)) - {signal.SIGCHLD}
        if told == b"":
            self._poller.unregister(self._control)  # a closed socket would be readable for ever
        if told == KILL:
            return KILL
        self.are_to_keep_up |= told == READY
        # The starter may have been killed while a fork of it still holds the control socket open.
        return STOP if told in (b"", STOP) or asked or os.getppid() != self._starter else None

    def within(self, seconds: float) -> bool:
        """Return whether an order to end came within the time."""
        until = time.monotonic() + seconds
        while not (ordered := self.wait(max(0.0, until - time.monotonic()))) and time.monotonic() < until:
            pass
        return ordered is not None


def _restart_delay(deaths: list[float]) -> float:
    """Add this death to the times of the earlier ones, and return the seconds to wait before a restart."""
    now = time.monotonic()
    deaths[:] = [at for at in deaths if now - at < _MEMORY_S] + [now]
    return _FIRST_RESTART_S if len(deaths) == 1 else min(_LAST_RESTART_S, 2.0 ** (len(deaths) - 2))


def _wake_on_signals() -> socket.socket:
    """Return a socket that receives the number of each SIGCHLD and of each request to stop."""
    receiver, sender = socket.socketpair()
    for end in (receiver, sender):
        end.setblocking(False)
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return receiver


def _spawn(command: list[str], libc: ctypes.CDLL) -> int:
    """Start the command, so that it dies with this process; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setpgid(0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.execv(command[0], command)
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def _supervise(
    child: int, orders: _Orders, load: "_Load", stopping: Path, drain_timeout_s: float, stop_timeout_s: float
) -> int | None:
    """Wait for the end of the child; on an order ask it to stop, and kill it if it does not stop in time.

    If the child was ready before, the guard asks it to stop only when no request is running, or when the time for that
    is up. Triton itself lets a model finish its batch, but fails a request of an ensemble at its next step.

    Returns:
        The exit status; None if the guard must restart the child: it has crashed, or a process of its models died.
    """
    stop_by = kill_at = float("inf")
    stubs = _Stubs(child)
    while (status := _reap(child)) is None:
        if time.monotonic() > kill_at:
            _signal(child, signal.SIGKILL)
        ordered = orders.wait(_CHECK_S)
        if ordered == KILL:
            kill_at = 0.0
        elif ordered == STOP and stop_by == float("inf"):
            stop_by = time.monotonic() + (drain_timeout_s if orders.are_to_keep_up else 0.0)
            with contextlib.suppress(OSError):  # on a full disk, the models refuse no request early
                stopping.touch()
        load.look()
        if kill_at == float("inf") and stop_by < float("inf") and (time.monotonic() >= stop_by or load.is_idle()):
            _signal(child, signal.SIGTERM)
            kill_at = time.monotonic() + stop_timeout_s
        elif (dead := stubs.dead()) and orders.are_to_keep_up and stop_by == float("inf"):
            os.write(1, f"triton-asr: the process of {dead} has died; restarting tritonserver\n".encode())
            return None
    if status in _CRASHES and orders.are_to_keep_up and stop_by == float("inf"):
        os.write(1, f"triton-asr: tritonserver has crashed (status {status}); restarting it\n".encode())
        return None
    return status


class _Load:
    """The activity of tritonserver and of its models' processes: their processor time, and work on a GPU.

    A process that waits for a GPU may sleep, and with a large model it does so for longer than a spell.
    """

    def __init__(self, tritonserver: int, gpu_work: Path) -> None:
        self._tritonserver, self._gpu_work = tritonserver, gpu_work
        self._seen_at, self._ticks = time.monotonic(), 0
        self._idle_spells = 0

    def look(self) -> None:
        """Measure their processor time since the last look, if that was long enough ago."""
        now = time.monotonic()
        if now - self._seen_at >= _CHECK_S / 2:
            ticks = sum(map(_ticks, [self._tritonserver, *_children(self._tritonserver)]))
            cores = (ticks - self._ticks) / os.sysconf("SC_CLK_TCK") / (now - self._seen_at)
            is_busy = cores >= _BUSY_CORES or _is_locked(self._gpu_work)
            self._idle_spells = 0 if is_busy else self._idle_spells + 1
            self._seen_at, self._ticks = now, ticks

    def is_idle(self) -> bool:
        """Return whether they did almost nothing in the last two spells, and none of their threads wants to run.

        The second condition is needed because a busy server also gets no time if other processes take the processor, or
        if the whole machine stands still.
        """
        pids = [self._tritonserver, *_children(self._tritonserver)]
        return self._idle_spells >= 2 and not _is_locked(self._gpu_work) and not any(map(_wants_to_run, pids))


def _is_locked(file: Path) -> bool:
    """Return whether a process holds a lock on a file; not if there is no such file."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _ticks(pid: int) -> int:
    """Return the clock ticks that a process and its threads have spent; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


def _wants_to_run(pid: int) -> bool:
    """Return whether a thread of a process runs, or waits for a processor or the disk."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if (thread / "stat").read_text().rpartition(")")[2].split()[0] in ("R", "D"):
                    return True
    return False


class _Stubs:
    """The processes of the Python backend, one for each instance of a model."""

    def __init__(self, tritonserver: int) -> None:
        self._tritonserver = tritonserver
        self._names: dict[int, str] = {}  # a dead process has no command line any more
        self._suspects: set[int] = set()
        self._look_at = 0.0

    def dead(self) -> str | None:
        """Return the name of an instance whose process is dead now and was at the last look; None if there is none."""
        if time.monotonic() < self._look_at:
            return None
        self._look_at = time.monotonic() + _CHECK_S
        zombies = set()
        for pid in _children(self._tritonserver):
            name, state = _name_and_state(pid)
            if name == _STUB and state == "Z":
                zombies.add(pid)
            elif name == _STUB and pid not in self._names:
                self._names[pid] = _instance(pid)
        dead = zombies & self._suspects
        self._suspects = zombies
        return self._names.get(min(dead), "a model") if dead else None


def _name_and_state(pid: int) -> tuple[str, str]:
    """Return a process's name and state letter; both are empty if it is gone."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    return before.partition("(")[2], after.split()[0]


def _instance(pid: int) -> str:
    """Return "model MODEL" for a stub of the instance "MODEL_0_1"; the instance is its last argument but one."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return "a model"
    return f"model {words[-2].rsplit('_', 2)[0]}" if len(words) > 2 else "a model"


def _read(control: socket.socket) -> bytes:
    """Return one byte from the starter; empty if the starter is gone."""
    try:
        return control.recv(1)
    except ConnectionError:
        return b""


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(child: int) -> int | None:
    """Collect all children that have ended; return the exit status of `child` if it is one of them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                found = code if code >= 0 else 128 - code
    return found


def _end_all(group: int) -> None:
    """Kill and collect children until none is left; the children of a killed child become ours, and come next."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        for pid in _children(os.getpid()):
            _signal(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children(parent: int) -> list[int]:
    """Return all children, also those that left their parent's process group; none if the kernel does not list them."""
    pids: list[int] = []
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # that thread has just ended
            pids += map(int, children.read_text().split())
    return pids


def _remove_shared_memory(prefix: str) -> None:
    for region in _SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


if __name__ == "__main__":
    _control = socket.socket(fileno=int(sys.argv[1]))
    _control.set_inheritable(False)  # it is only for this process, not for its children
    sys.exit(main(_control, json.loads(sys.argv[2])))
