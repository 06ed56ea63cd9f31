"""Words of a window with their times and confidence, as openai-whisper computes them (`timing.py`).

The alignment knows no pauses: the end of a word is the start of the next one. So a word beside a pause is too long, and
is cut to twice the median length of the window's words where a sentence or a segment begins or ends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper.alignment import token_positions
from asr_serving.whisper.settings import SECONDS_PER_TIMESTAMP
from asr_serving.whisper.words import attach_punctuation, divide

_SENTENCE_ENDS = ".。!！?？"  # noqa: RUF001
_LONGEST_MEDIAN_S = 0.7  # a median above it is that of words that are too long themselves
_TRUSTED_S = 0.5  # a word that goes further beyond its segment is wrong, and the segment is right


@dataclass(frozen=True)
class TextSegment:
    """A segment of a window whose words are wanted."""

    tokens: Sequence[int]  # of text, without timestamps and other special tokens
    posteriors: Sequence[float]  # of these tokens, 0 to 1
    start_s: float  # as the timestamps say, from the start of the recording
    end_s: float


@dataclass(frozen=True)
class WordTime:
    """A word with the punctuation around it."""

    word: str  # with the space before it, if there is one: a segment's words join to its text
    start: float  # seconds from the start of the recording
    end: float
    confidence: float  # 0 to 1: mean posterior of its tokens, without punctuation


@dataclass
class _Draft:
    text: str
    start: float
    end: float
    confidence: float
    segment: int

    @property
    def length(self) -> float:
        return self.end - self.start


def word_times(
    weights: NDArray[np.float32],
    segments: Sequence[TextSegment],
    *,
    prompt_tokens: int,
    frames: int,
    decode: Callable[[list[int]], str],
    language: str | None,
    window_start_s: float = 0.0,
    spoken_until_s: float = 0.0,
    lag_s: float = 0.0,
) -> list[list[WordTime]]:
    """Return the words of each segment of a window, in order and without overlap, within the window's audio.

    A segment without text has no words. A word may have no length.

    Args:
        weights: softmax weights of the alignment heads, `[heads, tokens, positions]`, for the tokens of the prompt,
            <|notimestamps|>, the text tokens of all segments, and <|endoftext|>. Not read where there is no text.
        segments: of the window.
        prompt_tokens: before <|notimestamps|>.
        frames: of the window's audio, without padding.
        decode: returns the text of tokens; U+FFFD stands for incomplete characters.
        language: code of the text's language, which for a translation is "en"; None for a checkpoint of one language.
        window_start_s: start of the window in the recording.
        spoken_until_s: end of the last word before this window, 0 for none.
        lag_s: by which this checkpoint's attention is late, or early if negative, in seconds (decision 63).

    Raises:
        ValueError: the weights are not finite, or do not fit the tokens or the frames, or a token has no posterior.
    """
    for segment in segments:
        if len(segment.tokens) != len(segment.posteriors):
            raise ValueError(f"{len(segment.posteriors)} posteriors for {len(segment.tokens)} tokens; needs one each")
    count = sum(len(segment.tokens) for segment in segments)
    if count == 0:
        return [[] for _ in segments]
    needed = prompt_tokens + count + 2
    if weights.ndim != 3 or weights.shape[1] != needed:
        got = list(weights.shape)
        raise ValueError(f"weights of attention have the shape {got}; needs [heads, {needed} tokens, positions]")
    aligned_s = SECONDS_PER_TIMESTAMP * token_positions(weights, prompt_tokens, frames)
    # Between two words alone: the first begins with the window, and attention is not late for the end of the last.
    aligned_s[1:-1] = np.clip(aligned_s[1:-1] - lag_s, 0.0, aligned_s[-1])
    times = window_start_s + aligned_s

    drafts = _drafts(segments, times.tolist(), decode, language)
    lengths = [draft.length for draft in drafts if draft.length > 0]
    typical = min(float(np.median(lengths)), _LONGEST_MEDIAN_S) if lengths else 0.0
    _cut_at_sentences(drafts, 2 * typical)
    for draft, text in zip(drafts, _attached(drafts, len(segments)), strict=True):
        draft.text = text
    words: list[list[WordTime]] = []
    free_from = max(window_start_s, spoken_until_s)  # a window may begin before the last word of the one before ended
    for index, segment in enumerate(segments):
        own = [draft for draft in drafts if draft.segment == index and draft.text.strip()]
        if own:
            _cut_at_segment(own, segment, typical, spoken_until_s, free_from)
            for draft in own:
                draft.start, draft.end = max(draft.start, free_from), max(draft.end, free_from)
            free_from = spoken_until_s = own[-1].end
        words.append([WordTime(one.text, round(one.start, 2), round(one.end, 2), one.confidence) for one in own])
    return words


def _drafts(
    segments: Sequence[TextSegment], times: list[float], decode: Callable[[list[int]], str], language: str | None
) -> list[_Draft]:
    """Return words and punctuation marks with the times of the alignment.

    Each segment is divided alone, so that no word belongs to two.
    """
    drafts = []
    before = 0
    for index, segment in enumerate(segments):
        for word in divide(segment.tokens, decode, language):
            confidence = float(np.mean(segment.posteriors[word.first : word.end]))
            start, end = times[before + word.first], times[before + word.end]
            drafts.append(_Draft(word.text, start, end, confidence, index))
        before += len(segment.tokens)
    return drafts


def _cut_at_sentences(drafts: list[_Draft], longest: float) -> None:
    """Cut the marks that end a sentence, and the words after them, to the length `longest` in seconds."""
    for previous, draft in pairwise(drafts):
        if draft.length <= longest:
            continue
        if draft.text in _SENTENCE_ENDS:
            draft.end = draft.start + longest
        elif previous.text in _SENTENCE_ENDS:
            draft.start = draft.end - longest


def _attached(drafts: list[_Draft], segments: int) -> list[str]:
    """Return the texts of drafts with the punctuation of their segment around them."""
    return [
        text
        for index in range(segments)
        for text in attach_punctuation([draft.text for draft in drafts if draft.segment == index])
    ]


def _cut_at_segment(
    words: list[_Draft], segment: TextSegment, typical: float, spoken_until: float, free_from: float
) -> None:
    """Cut the first words of a segment, if a pause comes before them, and the last word.

    Args:
        words: of the segment, at least one.
        segment: as the timestamps say.
        typical: median length of the window's words, seconds.
        spoken_until: end of the last word before, seconds; a pause lies between.
        free_from: no word begins before, seconds.
    """
    first, last = words[0], words[-1]
    second = words[1] if len(words) > 1 else None
    longest = 2 * typical
    too_long = first.length > longest or (second is not None and second.end - first.start > 2 * longest)
    if too_long and first.end - spoken_until > 4 * typical:
        if second is not None and second.length > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(free_from, first.end - longest)
    # The timestamps are right about a word that goes far beyond them. A cut makes a word shorter, never longer.
    if first.start + _TRUSTED_S < segment.start_s < first.end:
        first.start = max(first.start, min(first.end - typical, segment.start_s))
    if last.start < segment.end_s < last.end - _TRUSTED_S:
        last.end = min(last.end, max(last.start + typical, segment.end_s))
