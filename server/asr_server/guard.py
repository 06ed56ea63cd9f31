"""The process between us and tritonserver: it makes sure that nothing outlives the one who started it.

Started as `python -I -S guard.py CONTROL_FD JSON`, in a session of its own. It runs tritonserver as its child and stops
it when the other end of the control socket closes, which also happens when the starter is killed by SIGKILL and can
clean up nothing itself. Then it ends what tritonserver left behind (the Python backend runs every model in a process of
its own), removes the shared memory, and exits with tritonserver's status. Standard library only: it must start in
milliseconds.
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
# Bytes on the control socket. STOP lets running requests finish, as does the end of the socket; KILL does not.
STOP, KILL = b"S", b"K"


def main(control: socket.socket, settings: dict[str, object]) -> int:
    """Run `settings["command"]` until it ends or must end; return its exit status (128 + N when signal N ended it)."""
    libc = ctypes.CDLL(None)
    # Orphans of tritonserver become our children, so that we can see them, end them and wait for them.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wakeup = _wake_on_signals()
    command = [str(word) for word in settings["command"]]  # type: ignore[attr-defined]
    child = _spawn(command, libc)
    try:
        with contextlib.suppress(ConnectionError):  # the starter is gone already, which _supervise will notice
            control.sendall(f"{child}\n".encode())
        return _supervise(child, control, wakeup, stop_timeout_s=float(str(settings["stop_timeout_s"])))
    finally:
        _end_all(group=child)
        _remove_files(str(settings["shm_prefix"]), str(settings["scratch"]))


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


def _supervise(child: int, control: socket.socket, wakeup: socket.socket, stop_timeout_s: float) -> int:
    """Wait for the end of the child; ask it to stop when told to, and kill it when it does not stop in time."""
    starter = os.getppid()
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wakeup, select.POLLIN)
    kill_at = float("inf")
    while (status := _reap(child)) is None:
        if time.monotonic() > kill_at:
            _signal(child, signal.SIGKILL)
        # The timeout is for a starter that was killed while a fork of it still holds the control socket open.
        ready = {fd for fd, _ in poller.poll(500)}
        told = control.fileno() in ready and _read(control)
        asked = wakeup.fileno() in ready and set(wakeup.recv(64)) - {signal.SIGCHLD}
        if told == KILL:
            kill_at = 0.0
        elif kill_at == float("inf") and (told in (b"", STOP) or asked or os.getppid() != starter):
            _signal(child, signal.SIGTERM)
            kill_at = time.monotonic() + stop_timeout_s
        if told == b"":
            poller.unregister(control)  # at its end it would be readable for ever
    return status


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
        for pid in _children():
            _signal(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Return all children, also those that left tritonserver's process group; empty where the kernel does not tell."""
    me = os.getpid()
    with contextlib.suppress(FileNotFoundError):
        return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
    return []


def _remove_files(shm_prefix: str, scratch: str) -> None:
    for region in _SHARED_MEMORY.glob(f"{shm_prefix}*"):
        region.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    _control = socket.socket(fileno=int(sys.argv[1]))
    _control.set_inheritable(False)  # it was passed on to us alone
    sys.exit(main(_control, json.loads(sys.argv[2])))
