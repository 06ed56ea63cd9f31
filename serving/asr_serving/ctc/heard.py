"""The decode step's result for a row of frames."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray


@dataclass(frozen=True)
class Heard:
    """A piece of a transcript."""

    text: str
    confidence: float  # 0 to 1
    words: list[dict[str, Any]]  # "word", "start" and "end" in seconds, "confidence"

    def shifted(self, seconds: float) -> "Heard":
        """Return the same piece, `seconds` later."""
        words = [
            {**word, "start": round(word["start"] + seconds, 3), "end": round(word["end"] + seconds, 3)}
            for word in self.words
        ]
        return replace(self, words=words)


def silence(labels: Labels) -> NDArray[np.float32]:
    """Return log-probs of silence, float32 `[1, vocab]`: with them the decode step checks options ahead of time."""
    log_probs = np.full((1, len(labels.labels)), -100.0, dtype=np.float32)
    log_probs[0, labels.blank] = 0
    return log_probs
