"""Tells an outage of the server from a recording that fails: who waits for a server, how long, and who gives up."""

import threading
import time
from collections.abc import Callable

from asr_client import AsrError, Client, DeadlineExceeded, ServerUnavailable

from asr_spark.attempts import FIRST, Attempt

PAUSE_S = 0.5  # between two looks at a server that does not answer
LOOK_S = 3.0  # longest time for its answer
HASTY_LOOK_S = 1.0  # where earlier attempts have waited
WARN_EVERY_S = 10.0


class JobFailed(RuntimeError):
    """An error that concerns every row; the task fails with it."""


class Stopped(Exception):
    """The task is over, and nobody waits for this row any more."""


class Availability:
    """When the server last answered the rows of a task. The threads of the task share it.

    Args:
        client: asks the server.
        fail_after_s: seconds without an answer after which a job fails.
        where: model and addresses, for messages.
        warn: takes lines for the log.
        attempt: of the task. A hasty one gives up after one look, so that a job does not wait `fail_after_s` for each.
    """

    def __init__(
        self,
        client: Client,
        fail_after_s: float,
        where: str,
        warn: Callable[[str], None],
        attempt: Attempt = FIRST,
    ) -> None:
        self._client = client
        self._fail_after_s = fail_after_s
        self._where = where
        self._warn = warn
        self._attempt = attempt
        self._answered_at = time.monotonic()
        self._warned_at = -WARN_EVERY_S
        self._looking = threading.Lock()
        self._stop = threading.Event()

    def note_answer(self) -> None:
        """Note that the server has answered just now."""
        self._answered_at = time.monotonic()

    def _note_ready(self) -> None:
        self.note_answer()
        self._attempt = self._attempt.answered()

    def _look_s(self) -> float:
        return HASTY_LOOK_S if self._attempt.is_hasty() else LOOK_S

    def stop(self) -> None:
        """Make everybody who waits, or is about to send, raise Stopped."""
        self._stop.set()

    def check_stopped(self) -> None:
        """Raise Stopped if the task is over."""
        if self._stop.is_set():
            raise Stopped

    def check_model(self) -> None:
        """Make sure that the model is one of this kit's. Waits for a server that is not there yet.

        Raises:
            JobFailed: nobody has answered for `fail_after_s`.
            AsrError: the model is not there, or is another kind of model, or access is denied.
        """
        began_at = time.monotonic()
        while True:
            try:
                self._client.check_model(timeout_s=self._look_s())
            except (ServerUnavailable, DeadlineExceeded) as error:
                self._give_up_or_pause(began_at, error)
            else:
                self._note_ready()
                return

    def wait(self, sent_at: float, error: AsrError) -> bool:
        """Wait until the model takes requests; return whether it did not do so at once.

        Args:
            sent_at: when the row was first sent, by `time.monotonic`.
            error: the row's error.

        Raises:
            JobFailed: nobody has answered, this row or any other one, for `fail_after_s`.
            Stopped: the task is over.
        """
        was_away = False
        while True:
            with self._looking:  # one look for all who wait
                self.check_stopped()
                if self._answered_at > time.monotonic() - PAUSE_S and self._answered_at > sent_at:
                    return was_away
                if self._client.model_ready(timeout_s=self._look_s()):
                    self._note_ready()
                    return was_away
                was_away = True
                self._give_up_or_pause(max(sent_at, self._answered_at), error)

    def _give_up_or_pause(self, since: float, error: AsrError) -> None:
        silent_s = time.monotonic() - since
        is_hasty = self._attempt.is_hasty()
        if silent_s >= self._fail_after_s or is_hasty:
            self._attempt.give_up()
            before = " after earlier attempts that gave up" if is_hasty else ""
            raise JobFailed(
                f"nobody has answered for {silent_s:.0f} s{before} (failAfterS is {self._fail_after_s:g}) at "
                f"{self._where}: {error}"
            ) from error
        if time.monotonic() - self._warned_at >= WARN_EVERY_S:
            self._warned_at = time.monotonic()
            self._warn(f"waiting for {self._where}, which has not answered for {silent_s:.0f} s: {error}")
        if self._stop.wait(PAUSE_S):
            raise Stopped
