"""The decode step's result for a row of frames."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from asr_contract.labels import Labels
from numpy.typing import NDArray

# Nats of what is not heard. No hotword and no language model makes up for it, and sums of it are finite.
NEVER = -1e4


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


def silence(labels: Labels, frames: int = 1) -> NDArray[np.float32]:
    """Return log-probs of silence, float32 `[frames, vocab]`; one frame lets the decode step check options."""
    log_probs = np.full((frames, len(labels.labels)), NEVER, dtype=np.float32)
    log_probs[:, labels.blank] = 0
    return log_probs
