"""A segment of a long recording's transcript, as its caller gets it."""

import json
from dataclasses import dataclass
from typing import Any

from asr_contract import tensors

from asr_serving.ctc.heard import Heard


@dataclass(frozen=True)
class Segment:
    """The transcript since the previous segment; times are from the start of the recording."""

    heard: Heard
    seconds_done: float
    language: str | None = None  # code; None: of a model that knows none
    segments: list[dict[str, Any]] | None = None  # of a Whisper, as `whisper.codec.Answer` has them; None: of others

    def outputs(self) -> dict[str, str | float]:
        """Return the output tensors."""
        found: dict[str, str | float] = {
            tensors.TRANSCRIPT: self.heard.text,
            tensors.CONFIDENCE: self.heard.confidence,
            tensors.DURATION: self.seconds_done,
            tensors.WORDS: json.dumps(self.heard.words, ensure_ascii=False),
        }
        if self.language is not None:
            found[tensors.LANGUAGE] = self.language
        if self.segments is not None:
            found[tensors.SEGMENTS] = json.dumps(self.segments, ensure_ascii=False)
        return found


NOTHING = Segment(Heard("", 0.0, []), 0.0)
NOTHING_OF_WHISPER = Segment(Heard("", 0.0, []), 0.0, "", [])
