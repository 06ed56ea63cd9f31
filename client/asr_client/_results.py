"""The results that a client returns."""

from dataclasses import dataclass

from asr_client._errors import AsrError


@dataclass(frozen=True)
class Word:
    """One word of a transcript."""

    word: str
    start: float  # seconds from the beginning of the recording
    end: float  # seconds
    confidence: float  # 0 to 1


@dataclass(frozen=True)
class Alternative:
    """One of the likeliest texts of a recording."""

    text: str
    score: float  # log-probability, summed over the ways in which the recording can be read as this text


@dataclass(frozen=True)
class Transcription:
    """The transcript of one recording."""

    text: str
    confidence: float  # 0 to 1: mean posterior of the emitted tokens
    duration: float  # seconds of audio that the server heard
    # In order of time; empty without `word_timestamps` or `timestamps`. With `timestamps` alone, each is a segment.
    words: tuple[Word, ...] = ()
    language: str | None = None  # code; None if the model names no language
    # Best first; empty unless `nbest` asked for more than one. Hotwords are in `text`, not in these.
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class StreamResult:
    """A result of a live stream: of the current segment (a partial result), or of a finished one (a final result)."""

    text: str
    is_final: bool  # False: the segment still grows, and this result replaces the one before
    stable: str  # the beginning of `text` that holds complete words
    seconds: float  # of audio that the server has received
    # Only in final results:
    start: float | None = None  # seconds from the beginning of the stream
    end: float | None = None
    confidence: float | None = None  # 0 to 1
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """One slot of `transcribe_many`: either `transcription` or `error`. The audio itself is not kept."""

    index: int  # place among the items, from 0
    source: str  # the path as it was given, or "item N" (from 0) for audio without a name
    transcription: Transcription | None = None
    error: AsrError | None = None

    @property
    def ok(self) -> bool:
        """Return whether there is a transcription."""
        return self.error is None

    def unwrap(self) -> Transcription:
        """Return the transcription.

        Raises:
            AsrError: this item's error.
        """
        if self.transcription is None:
            raise self.error or AsrError(f"{self.source} has neither a transcription nor an error")
        return self.transcription
