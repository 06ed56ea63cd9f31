"""The progress of one recording through its windows."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper import segments as windows
from asr_serving.whisper.options import Options
from asr_serving.whisper.settings import FRAMES_PER_TIMESTAMP, SECONDS_PER_TIMESTAMP, Settings
from asr_serving.whisper.tasks import Task, Written


@dataclass(frozen=True)
class Segment:
    """A stretch of one recording between two timestamps."""

    start: float  # seconds from the start of the recording
    end: float  # seconds
    tokens: list[int]  # timestamps among them
    posteriors: list[float]  # of each token, 0 to 1


@dataclass(frozen=True)
class Aligned:
    """The attention of one window's text to its audio, for times of words."""

    weights: NDArray[np.float32]  # `[heads, tokens, positions]`, of `Options.alignment_tokens`
    offset: float  # seconds from the start of the recording to that of the window
    segments: list[Segment]  # of the window


@dataclass(frozen=True)
class Transcript:
    """The transcript of one recording."""

    tokens: list[int]  # of all segments, as `generate()` gives them
    language: str | None  # code; None if the checkpoint names none
    segments: list[Segment]
    confidence: float  # 0 to 1, mean posterior of the text tokens, or of all tokens if there is no text
    aligned: list[Aligned]  # of the windows with text, if times of words were requested


@dataclass
class Recording:
    """One recording: its windows are transcribed one after the other.

    Each window begins where the timestamps of the previous one say. A recording longer than a window is written with
    timestamps for that reason, whatever was asked for.

    Args:
        features: log-mel, float32 `[mels, frames]`.
        options: how to transcribe it.
        settings: of the checkpoint.
        deadline: on the clock of `time.monotonic`, after which nobody wants the answer.
    """

    features: NDArray[np.float32]
    options: Options
    settings: Settings
    deadline: float = float("inf")
    _seek: int = 0  # frames that are done
    _language: str | None = None
    _segments: list[Segment] = field(default_factory=list)
    _ends: list[float] = field(default_factory=list)  # posteriors of the end tokens
    _aligned: list[Aligned] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._language = self.options.language
        self._timestamps = self.options.timestamps or self.features.shape[1] > self.settings.window_frames

    @property
    def is_done(self) -> bool:
        """Return whether all windows are written."""
        return self._seek >= self.features.shape[1]

    def task(self) -> Task:
        """Return the next window."""
        size = self.settings.window_frames
        window = self.features[:, self._seek : self._seek + size]
        padded = np.pad(window, ((0, 0), (0, size - window.shape[1])))
        options = replace(self.options, language=self._language, timestamps=self._timestamps)
        return Task(padded, window.shape[1], options, self._seek, self.deadline)

    def take(self, written: Written) -> list[Segment]:
        """Take what was written for the window; return its segments."""
        self._language = written.language
        frames = min(self.settings.window_frames, self.features.shape[1] - self._seek)
        if written.is_silence:
            self._seek += frames
            return []
        posteriors = np.exp(written.log_probs).tolist()
        if written.end_log_prob is not None:
            self._ends.append(float(np.exp(written.end_log_prob)))
        offset = self._seek / FRAMES_PER_TIMESTAMP * SECONDS_PER_TIMESTAMP
        found, moved = windows.split(written.tokens, frames, self.settings)
        taken = [
            Segment(
                offset + segment.start_s,
                offset + segment.end_s,
                written.tokens[segment.first : segment.end],
                posteriors[segment.first : segment.end],
            )
            for segment in found
        ]
        if written.alignment is not None:
            self._aligned.append(Aligned(written.alignment, offset, taken))
        self._segments += taken
        self._seek += moved
        return taken

    def transcript(self) -> Transcript:
        """Return the transcript of the windows so far."""
        tokens = [token for segment in self._segments for token in segment.tokens]
        posteriors = [posterior for segment in self._segments for posterior in segment.posteriors]
        text = [posterior for token, posterior in zip(tokens, posteriors, strict=True) if token < self.settings.end]
        # If all windows were skipped as silence, no token tells how sure the model is.
        heard = text or [*posteriors, *self._ends] or [1.0]
        return Transcript(tokens, self._language, self._segments, float(np.mean(heard)), self._aligned)
