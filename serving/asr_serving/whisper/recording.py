"""The progress of one recording through its windows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper import segments as windows
from asr_serving.whisper.measures import Measures
from asr_serving.whisper.options import TRANSLATE, Options
from asr_serving.whisper.settings import FRAMES_PER_TIMESTAMP, SECONDS_PER_TIMESTAMP, Settings
from asr_serving.whisper.tasks import Task, Written
from asr_serving.whisper.word_times import TextSegment, WordTime, word_times


@dataclass(frozen=True)
class Segment:
    """A stretch of one recording between two timestamps."""

    start: float  # seconds from the start of the recording
    end: float  # seconds
    tokens: list[int]  # timestamps among them
    posteriors: list[float]  # of each token, 0 to 1
    measures: Measures  # of its window
    words: tuple[WordTime, ...] = ()  # if they were requested

    @property
    def spoken(self) -> tuple[float, float]:
        """Return when its first word begins and its last one ends; without words, its own start and end."""
        return (self.words[0].start, self.words[-1].end) if self.words else (self.start, self.end)

    def shifted(self, seconds: float) -> "Segment":
        """Return the same segment, `seconds` later."""
        words = tuple(replace(word, start=word.start + seconds, end=word.end + seconds) for word in self.words)
        return replace(self, start=self.start + seconds, end=self.end + seconds, words=words)


@dataclass(frozen=True)
class Transcript:
    """The transcript of a recording, or of a part of one."""

    tokens: list[int]  # of all segments, as `generate()` gives them
    language: str | None  # code; None if the checkpoint names none
    segments: list[Segment]
    confidence: float  # 0 to 1, mean posterior of the text tokens, or of all tokens if there is no text

    def shifted(self, seconds: float) -> "Transcript":
        """Return the same transcript, `seconds` later."""
        return replace(self, segments=[segment.shifted(seconds) for segment in self.segments])


def join(transcripts: list[Transcript], language: str | None) -> Transcript:
    """Return the transcript of a recording from those of its parts; without any, nobody speaks in this language."""
    tokens = [token for part in transcripts for token in part.tokens]
    weights = [len(part.tokens) for part in transcripts]
    sure = np.average([part.confidence for part in transcripts], weights=weights) if sum(weights) else 1.0
    segments = [segment for part in transcripts for segment in part.segments]
    return Transcript(tokens, transcripts[0].language if transcripts else language, segments, float(sure))


class Recording:
    """One recording, or a part of one: its windows are transcribed one after the other.

    Each window begins where the timestamps of the previous one say. A recording longer than a window is written with
    timestamps for that reason, whatever was asked for.

    Args:
        features: log-mel, float32 `[mels, frames]`.
        audio_frames: how many of them hold audio; silence fills up the rest.
        options: how to transcribe it.
        settings: of the checkpoint.
        decode: returns the text of tokens.
        deadline: on the clock of `time.monotonic`, after which nobody wants the answer.
        whole_windows: as `generate()` does it, the silence that fills up a short recording is transcribed, too.
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        audio_frames: int,
        options: Options,
        settings: Settings,
        decode: Callable[[list[int]], str],
        deadline: float = float("inf"),
        whole_windows: bool = True,
    ) -> None:
        self._features, self._audio_frames = features, audio_frames
        self._frames = features.shape[1] if whole_windows else min(audio_frames, features.shape[1])
        timestamps = options.timestamps or self._frames > settings.window_frames
        self._options = replace(options, timestamps=timestamps)
        self._settings, self._decode = settings, decode
        self.deadline = deadline
        self._seek = 0  # frames that are done
        self._spoken_until = 0.0  # seconds: end of the last word
        self._segments: list[Segment] = []
        self._ends: list[float] = []  # posteriors of the end tokens

    @property
    def is_done(self) -> bool:
        """Return whether all windows are written."""
        return self._seek >= self._frames

    def task(self) -> Task:
        """Return the next window."""
        size = self._settings.window_frames
        window = self._features[:, self._seek : self._seek + size]
        padded = np.pad(window, ((0, 0), (0, size - window.shape[1])))
        frames, audio_frames = self._window_frames()
        return Task(padded, frames, audio_frames, self._options, self._seek, self.deadline)

    def _window_frames(self) -> tuple[int, int]:
        """Return how many frames of the next window count, and how many of them hold audio."""
        frames = min(self._settings.window_frames, self._frames - self._seek)
        return frames, max(1, min(frames, self._audio_frames - self._seek))

    def take(self, written: Written) -> list[Segment]:
        """Take what was written for the window; return its segments."""
        self._options = replace(self._options, language=written.language)
        frames, audio_frames = self._window_frames()
        if written.is_silence:
            self._seek += frames
            return []
        posteriors = np.exp(written.log_probs).tolist()
        if written.end_log_prob is not None:
            self._ends.append(float(np.exp(written.end_log_prob)))
        offset = self._seek / FRAMES_PER_TIMESTAMP * SECONDS_PER_TIMESTAMP
        measures = Measures.of(written, self._decode(written.tokens))
        found, moved = windows.split(written.tokens, frames, self._settings)
        taken = [
            Segment(
                offset + segment.start_s,
                offset + segment.end_s,
                written.tokens[segment.first : segment.end],
                posteriors[segment.first : segment.end],
                measures,
            )
            for segment in found
        ]
        if written.alignment is not None:
            taken = self._with_words(taken, written.alignment, audio_frames, offset)
        self._segments += taken
        self._seek += moved
        return taken

    def _with_words(
        self, segments: list[Segment], weights: NDArray[np.float32], audio_frames: int, offset: float
    ) -> list[Segment]:
        options = self._options
        words = word_times(
            weights,
            [self._text(segment) for segment in segments],
            prompt_tokens=len(options.alignment_tokens(self._settings, options.language, [])) - 2,
            frames=min(audio_frames, FRAMES_PER_TIMESTAMP * weights.shape[2]),
            decode=self._decode,
            language="en" if options.task == TRANSLATE else options.language,
            window_start_s=offset,
            spoken_until_s=self._spoken_until,
            lag_s=self._settings.word_lag_s,
        )
        self._spoken_until = max([self._spoken_until, *(word.end for found in words for word in found)])
        return [replace(segment, words=tuple(found)) for segment, found in zip(segments, words, strict=True)]

    def _text(self, segment: Segment) -> TextSegment:
        pairs = zip(segment.tokens, segment.posteriors, strict=True)
        kept = [(token, posterior) for token, posterior in pairs if token < self._settings.end]
        tokens, posteriors = [token for token, _ in kept], [posterior for _, posterior in kept]
        return TextSegment(tokens, posteriors, segment.start, segment.end)

    def transcript(self) -> Transcript:
        """Return the transcript of the windows so far."""
        tokens = [token for segment in self._segments for token in segment.tokens]
        posteriors = [posterior for segment in self._segments for posterior in segment.posteriors]
        text = [posterior for token, posterior in zip(tokens, posteriors, strict=True) if token < self._settings.end]
        # If all windows were skipped as silence, no token tells how sure the model is.
        heard = text or [*posteriors, *self._ends] or [1.0]
        return Transcript(tokens, self._options.language, self._segments, float(np.mean(heard)))
