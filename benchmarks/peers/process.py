"""A peer's server in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

START_LIMIT_S = 120.0
STOP_LIMIT_S = 15.0


class ServerProcess:
    """A Python program that serves until it is terminated."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Wait until the server is ready.

        Raises:
            RuntimeError: it has ended, or is not ready in time; the message holds the end of its log.
        """
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if is_ready():
                return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"the server did not start:\n{self._log.read_text(errors='replace')[-4000:]}")

    def stop(self) -> None:
        """Terminate the server, and kill it if it does not end in time."""
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
