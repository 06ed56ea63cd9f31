"""Rows that write side by side, each a window with a prompt and a place of its own."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper import token_rules as rules
from asr_serving.whisper.fallback import PLAIN, Fallback
from asr_serving.whisper.graphs.backend import Backend, Encoded, MovableRows
from asr_serving.whisper.settings import Settings
from asr_serving.whisper.tasks import Task, Written

SEED = 0


@dataclass
class Row:
    """A window that is being written, and its attempts so far."""

    task: Task
    future: "Future[Written]"
    limits: Fallback
    language: str | None = None
    begun: float = field(default_factory=time.monotonic)
    kept: Encoded | None = None  # what the decoder hears, if it is needed after the last token
    attempt: int = 0  # index of the temperature
    no_speech: float = 0.0  # probability of <|nospeech|>
    tokens: list[int] = field(default_factory=list)  # with the end token, unless the limit was reached before
    log_probs: list[float] = field(default_factory=list)  # of each token
    is_broken: bool = False

    @staticmethod
    def of(task: Task, future: "Future[Written]", fallback: Fallback) -> "Row":
        """Return a row that has written nothing."""
        limits = fallback if task.options.temperature_fallback else PLAIN
        return Row(task, future, limits, task.options.language)

    @property
    def temperature(self) -> float:
        """Return the temperature of this attempt."""
        return self.limits.temperatures[self.attempt]

    @property
    def may_try_again(self) -> bool:
        """Return whether there is another temperature, and time for it."""
        in_time = time.monotonic() - self.begun < self.limits.longest_s
        return in_time and self.attempt + 1 < len(self.limits.temperatures)

    @property
    def is_unwanted(self) -> bool:
        """Return whether nobody waits for it any more."""
        return time.monotonic() > self.task.deadline

    def prompt(self, settings: Settings) -> list[int]:
        """Return the tokens before the first written one."""
        options = self.task.options
        return [*options.prompt, *options.init_tokens(settings, self.language), *options.prefix]

    def begin(self) -> None:
        """Forget what was written."""
        self.tokens, self.log_probs = [], []
        # The draws must not depend on the other rows.
        self._random = np.random.default_rng([SEED, self.task.seed, round(100 * self.temperature)])

    def choose(self, log_probs: NDArray[np.float32], best: int) -> int:
        """Return the next token: the best one, or one that is drawn from log-probs `[vocab]`."""
        if self.temperature == 0:
            return best
        weights = np.exp((log_probs - log_probs.max()).astype(np.float64) / self.temperature)
        return int(self._random.choice(len(weights), p=weights / weights.sum()))

    def limit(self, settings: Settings) -> int:
        """Return the number of tokens that may be written."""
        taken = len(self.prompt(settings))
        wanted = self.task.options.max_new_tokens or settings.max_new_tokens
        if wanted is None:
            wanted = settings.max_length - taken
        return max(1, min(wanted, settings.max_positions - taken))


class Batch:
    """Rows under way. A row that has left a batch which cannot move rows stays in it as None."""

    def __init__(self, backend: Backend, settings: Settings, rows: Sequence[Row], encoded: Encoded) -> None:
        """Decode the prompts of some rows, and write their first tokens.

        Args:
            backend: runs the graphs.
            settings: of the checkpoint.
            rows: with prompts of one length, unless the backend moves rows.
            encoded: a window for each of them.
        """
        self._moves_rows, self._settings = backend.moves_rows, settings
        self.rows: list[Row | None] = list(rows)
        prompts = [row.prompt(settings) for row in rows]
        longest = max(map(len, prompts))
        tokens = np.full((len(rows), longest), settings.end)
        for row, prompt in zip(tokens, prompts, strict=True):
            row[longest - len(prompt) :] = prompt
        padding = np.array([longest - len(prompt) for prompt in prompts])
        # <|startoftranscript|> tells whether there is speech; the last token, what comes next.
        starts = padding + [prompt.index(settings.start) for prompt in prompts]
        read = np.stack((starts, np.full(len(rows), longest - 1)), axis=1)
        logits, self._rows = backend.begin(tokens, padding, encoded, read)
        probabilities = np.exp(rules.log_softmax(logits[:, 0])[:, settings.no_speech])
        for row, probability in zip(rows, probabilities, strict=True):
            row.begin()
            row.no_speech = float(probability)
        self._history = rules.History.empty(
            np.array([row.task.options.timestamps for row in rows]),
            np.array([len(row.task.options.prefix) for row in rows]),
        )
        self._limits = [row.limit(settings) for row in rows]
        self._next = self._write(logits[:, -1])

    def __len__(self) -> int:
        return sum(row is not None for row in self.rows)

    def step(self) -> None:
        """Write the next token of every row."""
        self._next = self._write(self._rows.step(self._next))

    def take_finished(self) -> list[Row]:
        """Take out the rows that have ended, and those that nobody waits for any more."""
        taken = []
        for index in reversed(range(len(self.rows))):
            row = self.rows[index]
            if row is not None and (self._is_finished(row, self._limits[index]) or row.is_unwanted):
                taken.append(row)
                self._remove(index)
        return taken

    def join(self, others: "Batch") -> None:
        """Take in the rows of others; only with a backend that moves rows."""
        cast(MovableRows, self._rows).join(others._rows)
        self.rows += others.rows
        self._limits += others._limits
        self._history = self._history.join(others._history)
        self._next = np.concatenate((self._next, others._next))

    def _is_finished(self, row: Row, limit: int) -> bool:
        return row.is_broken or row.tokens[-1] == self._settings.end or len(row.tokens) >= limit

    def _remove(self, index: int) -> None:
        if not self._moves_rows:
            self.rows[index] = None
            return
        cast(MovableRows, self._rows).remove(index)
        order = np.arange(len(self.rows) - 1)
        if index < len(order):
            order[index] = len(order)
        self.rows = [self.rows[place] for place in order]
        self._limits = [self._limits[place] for place in order]
        self._history, self._next = self._history.keep(order), self._next[order]

    def _write(self, logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """Add the next token to every row; return all of them, `[n]`."""
        broken = np.isnan(logits).any(axis=1)
        log_probs = rules.log_softmax(rules.allow(np.where(broken[:, None], 0, logits), self._history, self._settings))
        tokens: NDArray[np.int64] = log_probs.argmax(axis=1)
        for index, row in enumerate(self.rows):
            if row is None:
                continue
            tokens[index] = row.choose(log_probs[index], int(tokens[index]))
            row.tokens.append(int(tokens[index]))
            row.log_probs.append(float(log_probs[index, tokens[index]]))
            row.is_broken = bool(broken[index])
        self._history = self._history.append(tokens, self._settings)
        return tokens
