"""The tokens and limits of a checkpoint, as `triton-asr export` wrote them to whisper.json."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

# One timestamp token is 0.02 s: two frames of 10 ms each, which the encoder's strides join to one position.
SECONDS_PER_TIMESTAMP = 0.02
FRAMES_PER_TIMESTAMP = 2


FILE = "whisper.json"


@dataclass(frozen=True)
class Settings:
    """Tokens, limits and audio geometry of one checkpoint."""

    sampling_rate: int  # Hz
    n_fft: int  # samples in one frame of the spectrum
    hop_length: int  # samples between two frames
    window_samples: int  # of one run of the encoder: 30 s
    window_frames: int  # the same in frames
    vocab_size: int
    max_positions: int  # of the decoder: prompt and answer together
    max_length: int  # tokens of prompt and answer, unless `max_new_tokens` says otherwise
    max_new_tokens: int | None  # tokens of an answer, if the checkpoint has its own limit
    start: int  # <|startoftranscript|>
    end: int  # <|endoftext|>; every id below is text
    previous: int  # <|startofprev|>, which introduces a prompt
    no_timestamps: int  # <|notimestamps|>; the timestamps follow it
    suppress: list[int]  # never written
    begin_suppress: list[int]  # never written first
    max_initial_timestamp_index: int | None  # the latest first timestamp
    languages: dict[str, int]  # code -> token; empty for a checkpoint of one language
    tasks: dict[str, int]  # transcribe, translate -> token; empty for a checkpoint of one language
    language: str | None  # for requests that name none; None: detect it
    task: str | None  # for requests that name none; None: no token of a task
    word_times: bool  # the decoder gives the weights of attention that times of words need
    word_lag_s: float  # by which this attention is late, or early if negative

    @property
    def timestamp_begin(self) -> int:
        """Return the token of 0.00 s."""
        return self.no_timestamps + 1

    @property
    def no_speech(self) -> int:
        """Return <|nospeech|>, whose probability after <|startoftranscript|> is that of silence."""
        return self.no_timestamps - 1

    @property
    def max_prompt_tokens(self) -> int:
        """Return the most tokens of a prompt: half of the positions, as in OpenAI's reference."""
        return self.max_positions // 2 - 1

    @staticmethod
    def load(path: Path) -> "Settings":
        """Read a settings file.

        Raises:
            ValueError: the file is not an object with exactly these fields.
        """
        content = json.loads(path.read_text(encoding="utf-8"))
        expected = {field.name for field in fields(Settings)}
        if content.keys() != expected:
            raise ValueError(f"{path} has {sorted(content)}; needs {sorted(expected)}")
        return Settings(**content)
