"""The rules for the next token: transformers' logits processors for Whisper, for a batch of rows at once.

They are SuppressTokensAtBegin, SuppressTokens and WhisperTimeStamp, in this order. Timestamps come in pairs (the end of
one segment and the start of the next) and never go back. A timestamp comes next if all of them together are more
probable than any text token.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper.settings import Settings


@dataclass
class History:
    """The tokens that the rows of a batch have written, as far as the rules look back."""

    timestamps: NDArray[np.bool_]  # [n], rows that write timestamps
    length: NDArray[np.int64]  # [n], tokens written
    last: NDArray[np.int64]  # [n], the last token; -1 for none
    before_last: NDArray[np.int64]  # [n], the one before
    last_timestamp: NDArray[np.int64]  # [n], the latest timestamp token; -1 for none

    @staticmethod
    def empty(timestamps: NDArray[np.bool_], length: NDArray[np.int64] | int = 0) -> "History":
        """Return the history of rows that have written nothing, after so many tokens of text that they were given."""
        nothing = np.full(len(timestamps), -1)
        return History(timestamps, np.broadcast_to(length, len(timestamps)), nothing, nothing, nothing)

    def append(self, tokens: NDArray[np.int64], settings: Settings) -> "History":
        """Return the history with one more token `[n]` of every row."""
        latest = np.where(tokens >= settings.timestamp_begin, tokens, self.last_timestamp)
        return History(self.timestamps, self.length + 1, tokens, self.last, latest)

    def keep(self, rows: NDArray[np.int64]) -> "History":
        """Return the history of these rows."""
        return History(*(values[rows] for values in vars(self).values()))

    def join(self, other: "History") -> "History":
        """Return the history of these rows and others after them."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return History(*(np.concatenate(pair) for pair in pairs))


def allow(logits: NDArray[np.float32], history: History, settings: Settings) -> NDArray[np.float32]:
    """Return the logits `[n, vocab]` with -inf for every token that must not come next."""
    scores = logits.copy()
    scores[np.ix_(history.length == 0, settings.begin_suppress)] = -np.inf
    scores[:, settings.suppress] = -np.inf
    rows = np.flatnonzero(history.timestamps)
    if len(rows):
        scores[rows] = _with_timestamps(scores[rows], history.keep(rows), settings)
    return scores


def log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log-probabilities of scores `[n, vocab]`; some scores may be -inf."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_probs: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probs


def _with_timestamps(scores: NDArray[np.float32], history: History, settings: Settings) -> NDArray[np.float32]:
    begin = settings.timestamp_begin
    ids = np.arange(scores.shape[1])
    scores[:, settings.no_timestamps] = -np.inf
    after_timestamp = history.last >= begin
    after_pair = after_timestamp & ((history.length < 2) | (history.before_last >= begin))
    half_pair = after_timestamp & ~after_pair
    scores[np.ix_(after_pair, ids >= begin)] = -np.inf
    scores[np.ix_(half_pair, ids < settings.end)] = -np.inf
    # The second of a pair may repeat the first; any other must be later.
    earliest = np.where(half_pair, history.last_timestamp, history.last_timestamp + 1)
    scores[(ids >= begin) & (ids < earliest[:, None])] = -np.inf
    scores[np.ix_(history.length == 0, ids < begin)] = -np.inf
    if settings.max_initial_timestamp_index is not None:
        too_late = ids > begin + settings.max_initial_timestamp_index
        scores[np.ix_(history.length == 0, too_late)] = -np.inf
    timestamp_wins = _log_sum_exp(scores[:, begin:]) > scores[:, :begin].max(axis=1)
    scores[np.ix_(timestamp_wins, ids < begin)] = -np.inf
    return scores


def _log_sum_exp(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    peak = scores.max(axis=1)
    finite = np.where(np.isfinite(peak), peak, 0)
    with np.errstate(divide="ignore"):  # all of them -inf: the sum is 0
        total: NDArray[np.float32] = finite + np.log(np.exp(scores - finite[:, None]).sum(axis=1))
    return total
