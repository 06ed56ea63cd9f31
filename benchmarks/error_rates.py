"""Word error rates for a table."""

from collections.abc import Iterable

from asr_contract.word_errors import compare


def wer_percent(pairs: Iterable[tuple[str, str]]) -> float:
    """Return the word error rate of (reference, transcript) pairs in percent, rounded."""
    return round(100 * (compare(pairs).wer or 0.0), 2)
