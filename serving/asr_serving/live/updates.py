"""The state of a live stream, as its caller gets it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from asr_contract import tensors

_NOBODY = -1.0  # speaks: START has no other value for it


@dataclass(frozen=True)
class Final:
    """A segment of a stream that has ended."""

    text: str
    start: float  # seconds from the beginning of the stream
    end: float
    confidence: float
    words: list[dict[str, Any]]  # "word", "start", "end" in seconds from the beginning of the stream, "confidence"


@dataclass(frozen=True)
class Update:
    """The state of a stream after a piece."""

    partial: str  # text of the segment that is being said
    stable: int  # characters of it that belong to complete words
    finals: list[Final]  # that this piece completed
    seconds: float  # of audio received
    start: float | None = None  # seconds at which the speech of this segment began; None: nobody speaks

    def outputs(self) -> dict[str, str | float]:
        """Return the output tensors for one piece."""
        return {
            tensors.PARTIAL: self.partial,
            tensors.STABLE: self.stable,
            tensors.FINALS: json.dumps([asdict(final) for final in self.finals], ensure_ascii=False),
            tensors.DURATION: self.seconds,
            tensors.START: _NOBODY if self.start is None else self.start,
        }


NOTHING = Update("", 0, [], 0.0)
