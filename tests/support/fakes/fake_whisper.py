"""A Whisper without a network: a window says which tokens it makes the decoder write, and every run is noted."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from asr_serving.whisper.graphs.backend import Encoded
from asr_serving.whisper.options import Options
from asr_serving.whisper.settings import Settings
from asr_serving.whisper.tasks import Task

VOCAB, END, BEGIN = 40, 20, 25
NAN = -1  # as a token: the logits are NaN
POSITIONS = 64


def settings(**changes: object) -> Settings:
    """Those of a checkpoint of one language with a tiny vocabulary."""
    facts = {
        "sampling_rate": 16_000,
        "n_fft": 400,
        "hop_length": 160,
        "window_samples": 32_000,
        "window_frames": 200,
        "vocab_size": VOCAB,
        "max_positions": POSITIONS,
        "max_length": POSITIONS,
        "max_new_tokens": None,
        "start": 21,
        "end": END,
        "previous": 22,
        "no_timestamps": 24,
        "suppress": [],
        "begin_suppress": [],
        "max_initial_timestamp_index": None,
        "languages": {},
        "tasks": {},
        "language": "en",
        "task": "transcribe",
        "word_times": True,
        "word_lag_s": 0.0,
    }
    return Settings(**{**facts, **changes})  # type: ignore[arg-type]


def task(*tokens: int, prompt: tuple[int, ...] = (), deadline: float = float("inf"), **options: object) -> Task:
    """A window for which these tokens are written, then the end token."""
    features = np.full((1, 200), END, np.float32)
    features[0, : len(tokens)] = tokens
    asked = Options(language="en", task="transcribe", prompt=prompt, **options)  # type: ignore[arg-type]
    return Task(features, 200, 200, asked, deadline=deadline)


@dataclass
class Rows:
    """Rows that write what their windows say; they come and go as those of the real graphs do."""

    backend: "Backend"
    scripts: np.ndarray  # [n, 200]
    written: np.ndarray  # [n]

    def step(self, tokens: np.ndarray) -> np.ndarray:
        assert len(tokens) == len(self.scripts)
        self.backend.steps.append(len(tokens))
        self.written = self.written + 1
        self.backend.on_step()
        return self.logits()

    def logits(self) -> np.ndarray:
        logits = np.zeros((len(self.scripts), VOCAB), np.float32)
        for row, script, at in zip(logits, self.scripts, self.written, strict=True):
            if script[at] == NAN:
                row[:] = np.nan
            else:
                row[int(script[at])] = 30
        return logits

    def remove(self, row: int) -> None:
        assert self.backend.moves_rows
        for name in ("scripts", "written"):
            values = getattr(self, name).copy()
            values[row] = values[-1]
            setattr(self, name, values[:-1])

    def join(self, others: "Rows") -> None:
        assert self.backend.moves_rows
        self.scripts = np.concatenate((self.scripts, others.scripts))
        self.written = np.concatenate((self.written, others.written))


@dataclass
class Backend:
    """The runs, in their order."""

    moves_rows: bool = True
    aligns: bool = True
    lanes: int = 0
    on_encode: Callable[[np.ndarray], None] = lambda features: None
    on_step: Callable[[], None] = lambda: None
    encoded: list[int] = field(default_factory=list)  # windows in each run of the encoder
    beside: list[bool] = field(default_factory=list)  # of each of these runs
    steps: list[int] = field(default_factory=list)  # rows in each run for one more token
    prompts: list[list[int]] = field(default_factory=list)  # lengths of the prompts of each run

    def encode(self, features: np.ndarray, is_beside: bool = False) -> Encoded:
        self.encoded.append(len(features))
        self.beside.append(is_beside)
        self.on_encode(features)
        return Encoded({"script": features[:, 0]}, len(features))

    def hidden(self, features: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def begin(
        self, tokens: np.ndarray, padding: np.ndarray, encoded: Encoded, read: np.ndarray
    ) -> tuple[np.ndarray, Rows]:
        assert self.moves_rows or not padding.any()
        assert len(tokens) == len(encoded)
        self.prompts.append((tokens.shape[1] - padding).tolist())
        rows = Rows(self, encoded.tensors["script"], np.zeros(len(tokens), np.int64))
        return np.repeat(rows.logits()[:, None], read.shape[1], axis=1), rows

    def align(self, tokens: np.ndarray, encoded: Encoded) -> np.ndarray:
        return np.broadcast_to(tokens[None, :, None], (2, len(tokens), 100)).astype(np.float32)
