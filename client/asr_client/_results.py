"""The results that a client returns."""

from collections.abc import Sequence
from dataclasses import dataclass

from asr_client._division import divide
from asr_client._errors import AsrError


@dataclass(frozen=True)
class Word:
    """One word of a transcript."""

    word: str
    start: float  # seconds from the beginning of the recording
    end: float  # seconds
    confidence: float  # 0 to 1
    speaker: str | None = None  # number of the channel, "0" or more, with `channels="separate"`


@dataclass(frozen=True)
class Segment:
    """A part of a transcript: of a Whisper what the model takes for a segment, of others about a sentence.

    The four measures are of Whisper models, None of others. All segments of a window of 30 s have the same, as in
    openai-whisper.
    """

    text: str  # without white space around it
    start: float  # seconds from the beginning of the recording
    end: float  # seconds
    confidence: float  # 0 to 1: mean posterior of its tokens
    # Sum of the log-probabilities of all tokens of the window, the end token among them, over their number without the
    # end token, plus 1.
    avg_logprob: float | None = None
    compression_ratio: float | None = None  # bytes of the window's text over those of its zlib form
    no_speech_prob: float | None = None  # 0 to 1: that nobody speaks in the window
    temperature: float | None = None  # 0: the likeliest tokens were taken
    speaker: str | None = None  # number of the channel, "0" or more, with `channels="separate"`


@dataclass(frozen=True)
class Alternative:
    """One of the likeliest texts of a recording."""

    text: str
    score: float  # log-probability, summed over the ways in which the recording can be read as this text


@dataclass(frozen=True)
class Transcription:
    """The transcript of one recording.

    With `channels="separate"`, the text has a line for each turn: what one speaker says until another one begins. The
    segments of all speakers are in order of their start, and the words in order of the text.
    """

    text: str
    confidence: float  # 0 to 1: mean posterior of the emitted tokens
    duration: float  # seconds of audio that the server heard
    # In order of time; empty without `word_timestamps` or `timestamps`. With `timestamps` alone, each is a segment.
    words: tuple[Word, ...] = ()
    language: str | None = None  # code; None if the model names no language
    # Best first; empty unless `nbest` asked for more than one. Hotwords are in `text`, not in these.
    alternatives: tuple[Alternative, ...] = ()
    # In order of time; at least one if there is text. Those of a Whisper, or else made by `segments_of`.
    segments: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        if not self.segments:
            found = segments_of(self.text, self.confidence, self.words, 0.0, self.duration)
            object.__setattr__(self, "segments", found)


def segments_of(text: str, confidence: float, words: Sequence[Word], start: float, end: float) -> tuple[Segment, ...]:
    """Return the segments of a text: it is divided at pauses between its words, or one segment if it has no words.

    Args:
        text: of the recording, or of a part of it.
        confidence: 0 to 1, for a segment without words.
        words: of the text, in order of time.
        start: of the recording or part, in seconds.
        end: likewise.
    """
    spoken = [word for word in words if word.word.strip()]
    if not text.strip() or not spoken:
        return (Segment(text.strip(), start, end, confidence),) if text.strip() else ()
    return tuple(
        Segment(part, said[0].start, said[-1].end, _mean_confidence(said)) for part, said in divide(text, spoken)
    )


def _mean_confidence(words: Sequence[Word]) -> float:
    """Return the mean over the letters of the words."""
    return sum(word.confidence * len(word.word) for word in words) / sum(len(word.word) for word in words)


@dataclass(frozen=True)
class StreamResult:
    """A result of a live stream: of the current segment (a partial result), or of a finished one (a final result)."""

    text: str
    is_final: bool  # False: the segment still grows, and this result replaces the one before
    stable: str  # the beginning of `text` that holds complete words
    seconds: float  # of audio that the server has received
    # Seconds from the beginning of the stream; half a second or less before the first sound. In a partial result, None
    # if nobody is known to speak, or if the server's export is of an earlier version.
    start: float | None = None
    # Only in final results:
    end: float | None = None  # seconds
    confidence: float | None = None  # 0 to 1
    words: tuple[Word, ...] = ()
    flushed: bool = False  # the last result of what a FLUSH ended; `text` is empty and `end` None if nothing was said


@dataclass(frozen=True)
class ModelInfo:
    """A model that a server offers."""

    name: str  # for `Client(model=…)` and `with_model`
    takes_long: bool  # recordings of any length, over gRPC
    takes_streams: bool  # live streams, over gRPC
    knows_languages: bool  # it tells the language of a recording, as a Whisper does


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
