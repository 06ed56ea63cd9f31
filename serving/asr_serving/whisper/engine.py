"""The engine that transcribes windows of many recordings side by side.

A recording is a series of windows, and its next one is known only when the last is written. So the engine knows windows
alone. It takes them in the order in which they came: a new window joins the others at their next token, and a row that
has ended answers at once. A long recording thus waits its turn for every window, and a short one waits for no more than
the windows before it in the queue, of which each recording has one.

The idea is Orca's iteration-level scheduling (Yu et al., OSDI 2022), with a window in place of a request.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from asr_contract.errors import Cancelled, QueueFull, Stopping

from asr_serving.whisper import segments
from asr_serving.whisper.batch import Batch, Row
from asr_serving.whisper.encoder import Encoder
from asr_serving.whisper.fallback import STANDARD, Fallback
from asr_serving.whisper.graphs.backend import Backend, Encoded
from asr_serving.whisper.settings import FRAMES_PER_TIMESTAMP, Settings
from asr_serving.whisper.tasks import BrokenOutput, Task, Written

# A decoder without `read` returns the logits of a whole prompt for every row; this bounds their number.
_MAX_PROMPT_LOGITS = 64_000_000


class Engine:
    """Windows that wait and windows that are being written, in a thread of its own.

    Args:
        backend: runs the graphs.
        settings: of the checkpoint.
        max_rows: windows under way; bounds memory.
        max_waiting: windows that may wait; more are refused.
        fallback: for the windows whose options ask for it.
    """

    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        max_rows: int = 16,
        max_waiting: int = 4096,
        fallback: Fallback = STANDARD,
    ) -> None:
        self._backend, self._settings = backend, settings
        self._max_rows, self._max_waiting = max_rows, max_waiting
        self._fallback = fallback
        self._waiting: deque[tuple[Task, Future[Written]]] = deque()
        self._batches: list[Batch] = []
        self._is_closing = False
        self._changed = threading.Condition()
        self._encoder = Encoder(backend, self._wake)
        self._thread = threading.Thread(target=self._run, name="whisper", daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> "Future[Written]":
        """Queue a window.

        Raises:
            QueueFull: too many wait.
            Stopping: the engine is closed.
        """
        future: Future[Written] = Future()
        with self._changed:
            if self._is_closing:
                raise Stopping("the server is stopping")
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull(f"{self._max_waiting} windows wait for the model, as many as may")
            self._waiting.append((task, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Give up all windows, and end the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_closing or self._batches or self._encoder.is_ready or self._places()
                )
                if self._is_closing:
                    break
                admitted = self._admit()
            self._encoder.start(admitted)
            self._round()
        self._encoder.close()
        written = [row for batch in self._batches for row in batch.rows if row is not None]
        for row in (*written, *self._encoder.rows):
            row.future.set_exception(Stopping("the server is stopping"))
        for _, future in self._waiting:
            future.cancel()

    def _admit(self) -> list[Row]:
        """Return the rows whose windows begin now."""
        admitted: list[Row] = []
        places = self._places()
        while self._waiting and len(admitted) < places:
            task, future = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            if time.monotonic() > task.deadline:
                future.set_exception(Cancelled("the caller's time was over before the window's turn"))
            else:
                admitted.append(Row.of(task, future, self._fallback))
        return admitted

    def _places(self) -> int:
        """Return how many of the windows that wait can begin now."""
        room = self._max_rows - sum(map(len, self._batches)) - len(self._encoder.rows)
        return self._encoder.places(min(room, len(self._waiting)))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _round(self) -> None:
        """Let the rows join whose windows are encoded, and write one token of every row."""
        for rows, encoded in self._encoder.take():
            self._guarded(rows, lambda rows=rows, encoded=encoded: self._start(rows, encoded.result()))  # type: ignore[misc]
        self._answer()  # some end with their first token
        for batch in list(self._batches):
            rows = [row for row in batch.rows if row is not None]
            if not self._guarded(rows, batch.step):
                self._batches.remove(batch)
        self._answer()

    def _answer(self) -> None:
        """Take out the rows that have ended, and answer them."""
        finished = [row for batch in self._batches for row in batch.take_finished()]
        self._batches = [batch for batch in self._batches if len(batch)]
        for row in finished:
            self._guarded([row], lambda row=row: self._finish(row))  # type: ignore[misc]

    def _guarded(self, rows: list[Row], work: Callable[[], None]) -> bool:
        """Work for some rows, and return whether it succeeded; an error is the answer of these rows alone."""
        try:
            work()
        except Exception as failed:  # noqa: BLE001 - the thread would end, and everybody would wait for ever
            for row in rows:
                if not row.future.done():
                    row.future.set_exception(failed)
            return False
        return True

    def _start(self, rows: list[Row], encoded: Encoded) -> None:
        """Begin to write rows; `encoded` has the window of each."""
        self._detect_languages(rows, encoded)
        for index, row in enumerate(rows):
            if row.task.options.word_timestamps or len(row.limits.temperatures) > 1:
                row.kept = encoded.rows([index])
        self._begin(rows, encoded)

    def _detect_languages(self, rows: list[Row], encoded: Encoded) -> None:
        """Set the most likely language after <|startoftranscript|>, for the rows that have none yet."""
        unknown = [index for index, row in enumerate(rows) if row.language is None]
        if not self._settings.languages or not unknown:
            return
        start = np.full((len(unknown), 1), self._settings.start)
        nowhere = np.zeros((len(unknown), 1), np.int64)
        heard = encoded if len(unknown) == len(rows) else encoded.rows(unknown)
        logits, _ = self._backend.begin(start, nowhere[:, 0], heard, nowhere)
        codes, tokens = zip(*self._settings.languages.items(), strict=True)
        for index, best in zip(unknown, logits[:, 0, list(tokens)].argmax(axis=1), strict=True):
            rows[index].language = codes[best]

    def _begin(self, rows: list[Row], encoded: Encoded) -> None:
        """Begin to write; `encoded` has a window for each row, and belongs to the batch from now on."""
        for indices in self._divided(rows):
            part = encoded if len(indices) == len(rows) else encoded.rows(indices)
            batch = Batch(self._backend, self._settings, [rows[index] for index in indices], part)
            if self._batches and self._backend.moves_rows:
                self._batches[0].join(batch)
            else:
                self._batches.append(batch)

    def _divided(self, rows: list[Row]) -> list[list[int]]:
        """Return the indices of the rows that can begin in one batch."""
        if self._backend.moves_rows:
            return [list(range(len(rows)))]
        lengths = [len(row.prompt(self._settings)) for row in rows]
        parts: list[list[int]] = []
        for length in sorted(set(lengths)):
            same = [index for index, other in enumerate(lengths) if other == length]
            most = max(1, _MAX_PROMPT_LOGITS // (length * self._settings.vocab_size))
            parts += [same[start : start + most] for start in range(0, len(same), most)]
        return parts

    def _finish(self, row: Row) -> None:
        """Answer a row that has ended, or try again at the next temperature."""
        if row.is_unwanted:
            raise Cancelled("the caller's time was over before the window was written")
        if row.is_broken:
            raise BrokenOutput("the model returned NaN for this recording")
        verdict = row.limits.judge(row.tokens, row.log_probs, row.no_speech, self._settings)
        if verdict.is_good or not row.may_try_again:
            row.future.set_result(self._written(row, verdict.is_silence))
            return
        row.attempt += 1
        assert row.kept is not None  # as for all rows with several temperatures
        self._begin([row], row.kept.rows([0]))

    def _written(self, row: Row, is_silence: bool) -> Written:
        if is_silence:
            return Written([], [], None, row.language, is_silence=True)
        tokens, log_probs = row.tokens, row.log_probs
        end = None
        if tokens[-1] == self._settings.end:
            *tokens, _ = tokens
            *log_probs, end = log_probs
        alignment = None
        text = segments.text_tokens(tokens, row.task.frames, self._settings)
        if row.kept is not None and row.task.options.word_timestamps and text:
            asked = row.task.options.alignment_tokens(self._settings, row.language, text)
            positions = max(1, row.task.audio_frames // FRAMES_PER_TIMESTAMP)
            alignment = self._backend.align(np.array(asked), row.kept)[:, :, :positions]
        return Written(
            tokens,
            log_probs,
            end,
            row.language,
            alignment=alignment,
            no_speech=row.no_speech,
            temperature=row.temperature,
        )
