"""What the decode step makes of a row of frames."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Heard:
    """A piece of a transcript."""

    text: str
    confidence: float  # 0 to 1
    words: list[dict[str, Any]]  # "word", "start" and "end" in seconds, "confidence"

    def shifted(self, seconds: float) -> "Heard":
        """The same, so much later."""
        words = [
            {**word, "start": round(word["start"] + seconds, 3), "end": round(word["end"] + seconds, 3)}
            for word in self.words
        ]
        return replace(self, words=words)
