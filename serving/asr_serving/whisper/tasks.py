"""What goes from one model to another: a prepared recording, a window to be transcribed, and what is written for it."""

from dataclasses import dataclass

import numpy as np
from asr_contract.errors import ModelFailed
from numpy.typing import NDArray

from asr_serving.audio.speech import Span
from asr_serving.whisper.options import Options


@dataclass(frozen=True)
class Prepared:
    """What the preprocess step makes of a recording."""

    samples: NDArray[np.float32]  # float32 `[samples]`
    seconds: float
    speech: list[Span]  # where somebody speaks, in samples; without a voice detector, everywhere


@dataclass(frozen=True)
class Task:
    """One window of a recording.

    Attributes:
        features: log-mel, float32 `[mels, frames]`, of a whole window.
        frames: how many of them count; the timestamps of the others are nothing.
        audio_frames: how many of them hold audio, at least 1; silence fills up the rest.
        options: how to transcribe it. A language of None is detected.
        seed: of the draws at temperatures above 0: its place in the recording.
        deadline: on the clock of `time.monotonic`, after which nobody wants the answer.
    """

    features: NDArray[np.float32]
    frames: int
    audio_frames: int
    options: Options
    seed: int = 0
    deadline: float = float("inf")


@dataclass(frozen=True)
class Written:
    """What was written for one window.

    Attributes:
        tokens: without the end token.
        log_probs: of each token.
        end_log_prob: of the end token; None if the limit of tokens was reached before.
        language: code, as it was requested or detected; None if the checkpoint names none.
        is_silence: the window was judged to hold no speech; there are no tokens.
        alignment: if times of words were requested and there is text: weights of attention to the audio, float32
            `[heads, tokens, positions]`, for the tokens of `Options.alignment_tokens`.
        no_speech: probability of <|nospeech|>, 0 to 1.
        temperature: at which the tokens were written.
    """

    tokens: list[int]
    log_probs: list[float]
    end_log_prob: float | None
    language: str | None
    is_silence: bool = False
    alignment: NDArray[np.float32] | None = None
    no_speech: float = 0.0
    temperature: float = 0.0


class BrokenOutput(ModelFailed):
    """The model returned NaN for this recording."""
