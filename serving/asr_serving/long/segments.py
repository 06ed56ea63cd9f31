"""A segment of a long recording's transcript, as its caller gets it."""

import json
from dataclasses import dataclass

from asr_contract import tensors

from asr_serving.ctc.heard import Heard


@dataclass(frozen=True)
class Segment:
    """The transcript since the previous segment; times are from the start of the recording."""

    heard: Heard
    seconds_done: float
    language: str | None = None  # code; None: of a model that knows none

    def outputs(self) -> dict[str, str | float]:
        """Return the output tensors."""
        found: dict[str, str | float] = {
            tensors.TRANSCRIPT: self.heard.text,
            tensors.CONFIDENCE: self.heard.confidence,
            tensors.DURATION: self.seconds_done,
            tensors.WORDS: json.dumps(self.heard.words, ensure_ascii=False),
        }
        return found if self.language is None else {**found, tensors.LANGUAGE: self.language}


NOTHING = Segment(Heard("", 0.0, []), 0.0)
NOTHING_IN_NO_LANGUAGE = Segment(Heard("", 0.0, []), 0.0, "")
