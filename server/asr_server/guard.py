"""The process between us and tritonserver: it makes sure that nothing outlives the one who started it.

Started as `python -I -S guard.py CONTROL_FD JSON`, in a session of its own. It runs tritonserver as its child and stops
it when the other end of the control socket closes, which also happens when the starter is killed by SIGKILL and can
clean up nothing itself. Then it ends what tritonserver left behind (the Python backend runs every model in a process of
its own), removes the shared memory, and exits with tritonserver's status. Standard library only: it must start in
milliseconds.

Once the server was ready, it also starts tritonserver anew when it has crashed, or when a model's process has died.
Triton 24.10 never starts such a process again: every request that meets the dead instance fails, for ever, while the
server and the model call themselves ready; and unloading such a model never ends (docs/faults.md).
"""

import contextlib
import ctypes
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
# Bytes on the control socket. STOP lets running requests finish, as does the end of the socket; KILL does not. READY
# says that all models are loaded: from then on a crash is an accident, and no fault of the repository.
STOP, KILL, READY = b"S", b"K", b"R"
_CRASHES = {128 + number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)}
_STUB = "triton_python_b"  # triton_python_backend_stub, as far as the kernel keeps a process's name
# Set for the models: a file that is there when the server is about to stop (model_repository/preprocess).
_STOPPING = "TRITON_ASR_STOPPING"
_TIMEOUTS = ("drain_timeout_s", "stop_timeout_s")  # until tritonserver is asked to stop; from then until it is killed
_BUSY_CORES = 0.05  # processor seconds per second; below it nothing is under way
_CHECK_S = 0.5  # between two looks at the processes of models; what is dead in two of them was not being unloaded
# A model that dies with each start must not keep the machine busy; after ten minutes a death is a new story.
_FIRST_RESTART_S, _LAST_RESTART_S, _MEMORY_S = 0.0, 30.0, 600.0


def main(control: socket.socket, settings: dict[str, object]) -> int:
    """Run `settings["command"]` until it ends or must end; return its exit status (128 + N when signal N ended it)."""
    libc = ctypes.CDLL(None)
    # Orphans of tritonserver become our children, so that we can see them, end them and wait for them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wakeup = _wake_on_signals()
    command = [str(word) for word in settings["command"]]  # type: ignore[attr-defined]
    orders = _Orders(control, wakeup)
    stopping = Path(str(settings["scratch"]), "stopping")
    os.environ[_STOPPING] = str(stopping)
    deaths: list[float] = []
    status: int | None = None
    try:
        while status is None:
            child = _spawn(command, libc)
            with contextlib.suppress(ConnectionError):  # the starter is gone already, which `orders` will notice
                control.sendall(f"{child}\n".encode())
            try:
                status = _supervise(child, orders, stopping, *(float(str(settings[key])) for key in _TIMEOUTS))
            finally:
                _end_all(group=child)
                _remove_shared_memory(str(settings["shm_prefix"]))
            if status is None and orders.within(_restart_delay(deaths)):
                return 0
        return status
    finally:
        shutil.rmtree(str(settings["scratch"]), ignore_errors=True)


class _Orders:
    """What reaches this process while it waits: the starter's words, signals, and the end of children."""

    def __init__(self, control: socket.socket, wakeup: socket.socket) -> None:
        self._control = control
        self._wakeup = wakeup
        self._starter = os.getppid()
        self.are_to_keep_up = False  # the server was ready: from now on it is started anew
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        self._poller.register(wakeup, select.POLLIN)

    def wait(self, timeout_s: float) -> bytes | None:
        """Return STOP, KILL, or None when nothing was ordered within the time or a child has ended."""
        ready = {fd for fd, _ in self._poller.poll(1000 * timeout_s)}
        told = self._control.fileno() in ready and _read(self._control)
        asked = self._wakeup.fileno() in ready and set(self._wakeup.recv(64)) - {signal.SIGCHLD}
        if told == b"":
            self._poller.unregister(self._control)  # at its end it would be readable for ever
        if told == KILL:
            return KILL
        self.are_to_keep_up |= told == READY
        # The starter may have been killed while a fork of it still holds the control socket open.
        return STOP if told in (b"", STOP) or asked or os.getppid() != self._starter else None

    def within(self, seconds: float) -> bool:
        """Whether the end was ordered within the time."""
        until = time.monotonic() + seconds
        while not (ordered := self.wait(max(0.0, until - time.monotonic()))) and time.monotonic() < until:
            pass
        return ordered is not None


def _restart_delay(deaths: list[float]) -> float:
    """Seconds to wait before a restart, from the times of the deaths before, to which this one is added."""
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
    """Start the command, bound to die with this process; return its process id."""
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
    child: int, orders: _Orders, stopping: Path, drain_timeout_s: float, stop_timeout_s: float
) -> int | None:
    """Wait for the end of the child; ask it to stop when told to, and kill it when it does not stop in time.

    Once it was ready, it is asked when it has nothing under way, or when the time for that is up: on its own, Triton
    lets a model finish its batch, but fails a request of an ensemble at its next step.

    Returns:
        Its exit status; None when it is to be started anew: it has crashed, or a process of its models has died.
    """
    stop_by = kill_at = float("inf")
    stubs, load = _Stubs(child), _Load(child)
    while (status := _reap(child)) is None:
        if time.monotonic() > kill_at:
            _signal(child, signal.SIGKILL)
        ordered = orders.wait(_CHECK_S)
        if ordered == KILL:
            kill_at = 0.0
        elif ordered == STOP and stop_by == float("inf"):
            stop_by = time.monotonic() + (drain_timeout_s if orders.are_to_keep_up else 0.0)
            with contextlib.suppress(OSError):  # a full disk: then no request is refused early
                stopping.touch()
        load.look()
        if kill_at == float("inf") and stop_by < float("inf") and (time.monotonic() >= stop_by or load.is_idle()):
            _signal(child, signal.SIGTERM)
            kill_at = time.monotonic() + stop_timeout_s
        elif (dead := stubs.dead()) and orders.are_to_keep_up and stop_by == float("inf"):
            os.write(1, f"triton-asr: the process of {dead} has died; starting tritonserver anew\n".encode())
            return None
    if status in _CRASHES and orders.are_to_keep_up and stop_by == float("inf"):
        os.write(1, f"triton-asr: tritonserver has crashed (status {status}); starting it anew\n".encode())
        return None
    return status


class _Load:
    """Whether tritonserver and the processes of its models are at work, by the processor's time that they take."""

    def __init__(self, tritonserver: int) -> None:
        self._tritonserver = tritonserver
        self._seen_at, self._ticks = time.monotonic(), 0
        self._idle_spells = 0

    def look(self) -> None:
        """Take in what they did since the last look, if that was long enough ago."""
        now = time.monotonic()
        if now - self._seen_at >= _CHECK_S / 2:
            ticks = sum(map(_ticks, [self._tritonserver, *_children(self._tritonserver)]))
            cores = (ticks - self._ticks) / os.sysconf("SC_CLK_TCK") / (now - self._seen_at)
            self._idle_spells = self._idle_spells + 1 if cores < _BUSY_CORES else 0
            self._seen_at, self._ticks = now, ticks

    def is_idle(self) -> bool:
        """Return whether they did next to nothing in the last two spells, and none of their threads wants to run.

        Where others take the processor, or the whole machine stands still, a busy server gets no time either.
        """
        pids = [self._tritonserver, *_children(self._tritonserver)]
        return self._idle_spells >= 2 and not any(map(_wants_to_run, pids))


def _ticks(pid: int) -> int:
    """Return the clock ticks that a process has spent, its threads included; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


def _wants_to_run(pid: int) -> bool:
    """Return whether a thread of a process runs, waits for a processor, or for the disk."""
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
        """Return the name of an instance whose process was dead at the last look, too."""
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
    """Return a process's name and state letter; empty when it is gone."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return "", ""
    return before.partition("(")[2], after.split()[0]


def _instance(pid: int) -> str:
    """Return "model MODEL" for the stub of its instance "MODEL_0_1", which is its last argument but one."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return "a model"
    return f"model {words[-2].rsplit('_', 2)[0]}" if len(words) > 2 else "a model"


def _read(control: socket.socket) -> bytes:
    """Return one byte from the starter; empty when the starter is gone."""
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
    """Kill and collect children until none is left; those of a killed child become ours and get their turn."""
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
    """Return all children, also those that left their parent's process group; empty where the kernel does not tell."""
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
    _control.set_inheritable(False)  # it was passed on to us alone
    sys.exit(main(_control, json.loads(sys.argv[2])))
