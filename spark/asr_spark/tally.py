"""Counts what was transcribed, within a task and over a whole job."""

from collections import Counter
from dataclasses import dataclass, field

from asr_client import Transcription

from asr_spark.schema import Failure, Result


@dataclass
class Tally:
    """What became of some rows. Times are seconds since 1970, by the clocks of the machines that did the work."""

    rows: int = 0
    without_recording: int = 0  # rows whose input is null
    audio_s: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)  # rows by the type of their error
    first_s: float | None = None
    last_s: float | None = None

    def add(self, result: Result, now_s: float) -> None:
        """Count a row that got its result at this time."""
        self.rows += 1
        match result:
            case Transcription():
                self.audio_s += result.duration
            case Failure():
                self.errors[result.type] += 1
            case _:
                self.without_recording += 1
        self.last_s = now_s

    def merged(self, other: "Tally") -> "Tally":
        """Return the tally of the rows of both."""
        firsts = [time for time in (self.first_s, other.first_s) if time is not None]
        lasts = [time for time in (self.last_s, other.last_s) if time is not None]
        return Tally(
            self.rows + other.rows,
            self.without_recording + other.without_recording,
            self.audio_s + other.audio_s,
            self.errors + other.errors,
            min(firsts, default=None),
            max(lasts, default=None),
        )
