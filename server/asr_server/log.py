"""tritonserver's log: read without blocking the server, passed on without noise, searched after a failed start."""

import queue
import re
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

LogHook = Callable[[str], None]

_KEPT_LINES = 2000  # enough for the tables of a large repository; limited, because a server runs for months
_WAITING_LINES = 10_000

# Messages that Triton prints on every machine without a GPU (or without DCGM); none of them shows a fault.
_HARMLESS = re.compile(
    r"Unable to allocate pinned system memory|failed to allocate pinned system memory"
    r"|unable to create stream for \S+: CUDA driver version is insufficient"
    r"|CUDA memory pool disabled"
    r"|CudaDriverHelper has not been initialized"
    r"|Failed to initialize NVML"
    r"|DCGM unable to start"
    r"|Unable to get power limit|Unable to get energy consumption"
)
# E1123 05:35:48.465869 8070 model_lifecycle.cc:642] "failed to load 'x' version 1: Internal: …"
_PREFIX = re.compile(r'^(?P<severity>[IWEF])\d{4} [\d:.]+ \d+ \S+\] *"?(?P<text>.*?)"?$')
_STUCK = "Failed to preinitialize Python stub"  # after it, Triton waits for ever for a process that has ended
_MODEL_FAILURES = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.*)",
        r"failed to load model '(?P<model>[^']+)': (?P<reason>.*)",
        r"Poll failed for model directory '(?P<model>[^']+)': (?P<reason>.*)",
        r"Invalid argument: (?P<reason>ensemble '?(?P<model>[^' ]+)'? (contains|depends on) .*)",
        rf"{_STUCK}: (?P<reason>Python model file not found in '.*/(?P<model>[^/]+)/\d+/[^/]+')",
    )
]
_MEMBER_FAILURE = re.compile(
    r"(?P<short>ensemble .* depends on '(?P<member>[^']+)' which has no loaded version)\. Model .* loading failed",
    re.DOTALL,
)
_PARSE_FAILURE = re.compile(r"^\[libprotobuf ERROR \S+\] (?P<reason>Error parsing text-format .*)")
_ERROR = re.compile(r"[EF]\d{4} |error: |.*: unrecognized option ")


def to_stderr(line: str) -> None:
    """Write a line to `sys.stderr`, looked up each time, because tests and notebooks replace it."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class LogReader:
    """A reader that reads a pipe to its end in one thread and hands the lines to a hook in another.

    It has two threads, because a hook can block (a terminal stopped with Ctrl-S), and a full pipe would then stop the
    server. When the hook is 10,000 lines behind, the reader counts further lines instead of keeping them.
    """

    def __init__(self, pipe: IO[bytes], hook: LogHook, *, show_harmless: bool) -> None:
        self._pipe = pipe
        self._hook = hook
        self._show_harmless = show_harmless
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._waiting: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self._dropped = 0
        self._stuck = False
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._pass_on)]
        for thread in self._threads:
            thread.start()

    @property
    def is_stuck(self) -> bool:
        """Return whether the log says that Triton waits for a process that has ended."""
        return self._stuck

    @property
    def lines(self) -> list[str]:
        """Return the latest lines, including the harmless ones."""
        return list(self._lines)

    def join(self, timeout_s: float) -> None:
        """Wait until the pipe has ended and the hook has its lines, or until the time is up."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _read(self) -> None:
        with self._pipe:
            for raw in self._pipe:
                line = raw.decode("utf-8", "replace").rstrip("\n")
                self._lines.append(line)
                self._stuck = self._stuck or _STUCK in line
                if self._show_harmless or not _HARMLESS.search(line):
                    self._offer(line)
        self._waiting.put(None)

    def _offer(self, line: str) -> None:
        try:
            if self._dropped:
                self._waiting.put_nowait(f"({self._dropped} lines of the log were dropped: the reader was too slow)")
                self._dropped = 0
            self._waiting.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _pass_on(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._hook(line)
            except Exception:  # noqa: BLE001  (a broken hook, e.g. a closed stderr, must not stop the server's log)
                continue


def model_failures(lines: list[str]) -> dict[str, str]:
    """Return the reason of each model that did not load, by model name, in Triton's words without the traceback."""
    failures: dict[str, str] = {}
    parse_error = ""
    for line in lines:
        if match := _PARSE_FAILURE.match(line):
            parse_error = match["reason"]  # Triton names the file only on the line after it
            continue
        if match := next(filter(None, (pattern.match(_text(line)) for pattern in _MODEL_FAILURES)), None):
            # Triton appends the Python traceback after a line that reads "At:".
            reason = match["reason"].split("\nAt:\n")[0].strip()
            failures.setdefault(match["model"], "; ".join(filter(None, (reason, parse_error))))
            parse_error = ""
    return {model: _without_repetition(reason, failures) for model, reason in failures.items()}


def _without_repetition(reason: str, failures: dict[str, str]) -> str:
    """Return an ensemble's reason without that of its member, which has a line of its own."""
    match = _MEMBER_FAILURE.match(reason)
    return match["short"] if match and match["member"] in failures else reason


def errors(lines: list[str], limit: int = 5) -> list[str]:
    """Return the last lines that report an error; if there are none, return the last lines."""
    found = [_text(line) for line in lines if _ERROR.match(line) and not _HARMLESS.search(line)]
    return (found or [line for line in lines if line.strip()])[-limit:]


def says_port_taken(lines: list[str]) -> bool:
    """Return whether the server gave up because it could not bind an address."""
    return any("already in use" in line for line in lines if _ERROR.match(line))


def _text(line: str) -> str:
    match = _PREFIX.match(line)
    return (match["text"] if match else line).replace("\\n", "\n").replace('\\"', '"')
