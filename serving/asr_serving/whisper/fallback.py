"""Whether the text of a window is good enough, and what to try if it is not."""

import zlib
from dataclasses import dataclass
from math import log2

from asr_serving.whisper.settings import Settings


@dataclass(frozen=True)
class Fallback:
    """The limits of a good window, and the temperatures to try for one that is not good.

    The defaults are those of the Whisper paper (section 4.5); the compression ratio is that of transformers, which
    compresses token ids instead of text.
    """

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio: float = 1.35  # above it, the text repeats itself
    log_prob: float = -1.0  # below it, on average over the tokens, the text is a guess
    no_speech: float = 0.6  # above it, a guess is silence
    longest_s: float = float("inf")  # after so many seconds with a window, nothing further is tried

    def judge(self, tokens: list[int], log_probs: list[float], no_speech: float, settings: Settings) -> "Verdict":
        """Judge what was written for a window.

        Args:
            tokens: with the end token, if there is one.
            log_probs: of each token.
            no_speech: probability of <|nospeech|>, 0 to 1.
            settings: of the checkpoint.
        """
        likely = sum(log_probs) / len(log_probs) >= self.log_prob
        if not likely and no_speech > self.no_speech:
            return Verdict(is_silence=True, is_good=True)
        return Verdict(False, likely and compression_ratio(tokens, settings) <= self.compression_ratio)


@dataclass(frozen=True)
class Verdict:
    """The judgement of a window."""

    is_silence: bool
    is_good: bool  # nothing further needs to be tried


# For requests that ask for a fallback. A window that repeats itself writes all tokens that it may, at each temperature.
# Without a bound on the time, it would keep its caller waiting for half a minute and more on a CPU.
STANDARD = Fallback(longest_s=15.0)
# The limits of `generate()` without a fallback.
PLAIN = Fallback((0.0,), float("inf"), -float("inf"), float("inf"))


def compression_ratio(tokens: list[int], settings: Settings) -> float:
    """Return the bytes of the token ids over their bytes after zlib, as transformers measures repetition."""
    width = int(log2(settings.vocab_size) / 8) + 1
    data = b"".join(token.to_bytes(width, "little") for token in tokens)
    return len(data) / len(zlib.compress(data))
