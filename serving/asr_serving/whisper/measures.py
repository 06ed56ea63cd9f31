"""How good the text of a window is, in the figures that openai-whisper gives with each segment."""

import zlib
from dataclasses import dataclass

from asr_serving.whisper.tasks import Written


@dataclass(frozen=True)
class Measures:
    """What the text of a window is judged by; all segments of the window have the same."""

    avg_logprob: float  # mean log-probability of the tokens
    compression_ratio: float  # above 2.4 or so, the text repeats itself
    no_speech_prob: float  # 0 to 1: that nobody speaks in the window
    temperature: float  # at which its tokens were drawn; 0: the likeliest were taken

    @staticmethod
    def of(written: Written, text: str) -> "Measures":
        """Return the measures of what was written for a window.

        `avg_logprob` is the sum of the natural log-probabilities of all tokens, over the number of tokens + 1. The end
        token counts in the sum, and is the one that is added; if the limit of tokens was reached before it, the sum has
        no end token, and the number stays. Timestamps count, and so does what the window loses to the next one.

        Args:
            written: for the window.
            text: of all its tokens.
        """
        total = sum(written.log_probs) + (written.end_log_prob or 0.0)
        return Measures(
            total / (len(written.tokens) + 1), compression_ratio(text), written.no_speech, written.temperature
        )


def compression_ratio(text: str) -> float:
    """Return the bytes of a text in UTF-8, without spaces around it, over their bytes after zlib; 0 for no text."""
    data = text.strip().encode()
    return len(data) / len(zlib.compress(data))
