"""Alignment of a window's tokens with its audio: from weights of cross-attention to the position of each token.

The method is that of openai-whisper (`timing.py`, `find_alignment`): the weights of a few heads of attention, which the
checkpoint names as its alignment heads, are joined to one matrix, and dynamic time warping finds the best path in it.
A position is one of the encoder's outputs: `SECONDS_PER_TIMESTAMP` of audio.
"""

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper.settings import FRAMES_PER_TIMESTAMP

FILTER_WIDTH = 7  # positions; openai-whisper's `medfilt_width`
_ROUNDING = 1e-6  # a relative difference that float32 makes of equal weights


def token_positions(weights: NDArray[np.float32], prompt_tokens: int, frames: int) -> NDArray[np.int64]:
    """Return where each text token begins and the last one ends, int64 `[text tokens + 1]` in positions, in order.

    The first text token begins at 0, whatever silence stands before it.
    A token has no length where the audio has no place for it.

    Args:
        weights: softmax weights of the alignment heads, `[heads, tokens, positions]`, for the tokens of the prompt,
            <|notimestamps|>, the text tokens and <|endoftext|>.
        prompt_tokens: before <|notimestamps|>, such as <|startoftranscript|>, language and task.
        frames: of the window's audio, without padding.

    Raises:
        ValueError: the weights have another shape or are not finite, or the window has more frames than they cover.
    """
    return warp(-evidence(weights, prompt_tokens, frames))


def evidence(weights: NDArray[np.float32], prompt_tokens: int, frames: int) -> NDArray[np.float32]:
    """Return how much speaks for each token at each position, float32 `[text tokens + 1, positions of the audio]`.

    Row 0 is <|notimestamps|>, the token that has the first text token to predict; the last row is the last text token.
    The arguments are those of `token_positions`.
    """
    if weights.ndim != 3 or weights.shape[0] == 0 or weights.shape[1] < prompt_tokens + 2:
        raise ValueError(
            f"weights of attention have the shape {list(weights.shape)}; "
            f"needs [heads, {prompt_tokens} tokens of the prompt + text tokens + 2, positions]"
        )
    # A window of one frame has half a position; CTranslate2 divides by its 0 positions and ends the process.
    positions = max(frames // FRAMES_PER_TIMESTAMP, 1)
    if positions > weights.shape[2]:
        raise ValueError(f"the window has {frames} frames, {positions} positions; the weights cover {weights.shape[2]}")
    total = np.zeros((weights.shape[1] - prompt_tokens - 1, positions), dtype=np.float32)
    for head in weights:  # one at a time: its rows stay in the processor's cache
        normal = _normalised(head[:, :positions].astype(np.float32, copy=False))
        total += median_filter(normal[prompt_tokens:-1])
    return total / np.float32(len(weights))


def _normalised(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights `[tokens, positions]` as shares of the audio's attention, with mean 0 and variance 1 by position.

    openai-whisper takes the softmax without the padding, which is the same as a division by the sum of what is left.
    transformers does not divide.
    Where all tokens weigh alike, nothing speaks for any of them, so all are 0. Both references divide 0 by 0 there, or
    one rounding error by another.
    """
    sums = weights.sum(axis=1, keepdims=True)
    if not np.isfinite(sums).all():
        raise ValueError("weights of attention are not finite; the graph's precision may be too low for this audio")
    shares = np.divide(weights, sums, out=np.zeros_like(weights), where=sums != 0)
    mean = shares.mean(axis=0)
    shares -= mean
    deviation = np.sqrt(np.mean(np.square(shares), axis=0))
    return np.divide(shares, deviation, out=np.zeros_like(shares), where=deviation > _ROUNDING * mean)


def median_filter(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of the `FILTER_WIDTH` values around each, `[rows, positions]`, mirrored at both ends.

    Rows shorter than the mirror remain as they are, as in openai-whisper.
    The seven values are two sorted triples and one more. Minima and maxima of whole arrays do that, and each triple
    serves two windows: several times as fast as sorting each window.
    """
    edge = FILTER_WIDTH // 2
    if values.shape[1] <= edge:
        return values
    padded = np.concatenate([values[:, edge:0:-1], values, values[:, -2 : -2 - edge : -1]], axis=1)
    low, high = np.minimum(padded[:, :-1], padded[:, 1:]), np.maximum(padded[:, :-1], padded[:, 1:])
    low, high, third = low[:, :-1], high[:, :-1], padded[:, 2:]
    smallest, rest = np.minimum(low, third), np.maximum(low, third)
    middle, largest = np.minimum(rest, high), np.maximum(rest, high)

    count = values.shape[1]
    (a1, b1), (a2, b2), (a3, b3) = ((one[:, :count], one[:, 3 : 3 + count]) for one in (smallest, middle, largest))
    # The k-th smallest of both triples is the least max(a[i], b[k - i]).
    third_of_six = np.minimum(np.minimum(a3, b3), np.minimum(np.maximum(a1, b2), np.maximum(a2, b1)))
    fourth_of_six = np.minimum(np.maximum(a2, b2), np.minimum(np.maximum(a1, b3), np.maximum(a3, b1)))
    last = padded[:, 6 : 6 + count]
    median: NDArray[np.float32] = np.maximum(third_of_six, np.minimum(last, fourth_of_six))
    return median


def warp(cost: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the first column of each row on the cheapest way through a matrix `[rows, columns]`, int64 `[rows]`.

    The way leads from the first corner to the last. A step goes to the next row, to the next column, or to both.
    This is dynamic time warping with the choices of openai-whisper's `dtw_cpu`: of steps that cost the same, the one
    within the row is taken, and a row is not entered where both ways into it cost the same.

    A row is computed at once: its costs are those of entering it anywhere and then staying in it, so they are a running
    minimum over sums of the row.

    Raises:
        ValueError: a cost is not finite, or there is none.
    """
    if cost.ndim != 2 or cost.size == 0 or not np.isfinite(cost).all():
        raise ValueError(f"cannot warp: needs a matrix of finite costs, got the shape {list(cost.shape)}")
    rows, columns = cost.shape
    sums = np.zeros((rows, columns + 1))
    np.cumsum(cost, axis=1, dtype=np.float64, out=sums[:, 1:])
    reached = np.full(columns + 1, np.inf)  # cost of the way to each column of the row before; column -1 comes first
    reached[0] = 0.0
    entered = np.empty((rows, columns), dtype=bool)  # the way to this place comes from the row before
    diagonal = np.empty((rows, columns), dtype=bool)  # … and from the column before
    for row in range(rows):
        both, down = reached[:-1], reached[1:]
        entry = np.where(both == down, np.inf, np.minimum(both, down))
        now = np.full(columns + 1, np.inf)
        now[1:] = np.minimum.accumulate(entry - sums[row, :-1]) + sums[row, 1:]
        entered[row] = entry < now[:-1]
        diagonal[row] = both < down
        reached = now
    first = np.zeros(rows, dtype=np.int64)
    column = columns - 1
    for row in range(rows - 1, 0, -1):
        column = int(np.flatnonzero(entered[row, : column + 1])[-1])
        first[row] = column
        column -= int(diagonal[row, column])
    return first
