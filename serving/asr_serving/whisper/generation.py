"""Generation of tokens, as in transformers' Whisper `generate()`, but for many recordings at once and without torch.

Every recording is a series of windows. Each window begins where the timestamps of the previous one say. A round takes
the next window of every unfinished recording: one batch goes through the encoder, then one batch for each length of
prompt goes through the decoder (its graph has no mask for padding). The rows of a batch do not affect each other.
"""

import zlib
from dataclasses import dataclass, field
from math import log2
from typing import Any, Protocol

import numpy as np
from asr_contract.errors import ModelFailed
from numpy.typing import NDArray

from asr_serving.whisper import segments as windows
from asr_serving.whisper import token_rules as rules
from asr_serving.whisper.log_mel import log_mel
from asr_serving.whisper.options import Options
from asr_serving.whisper.settings import FRAMES_PER_TIMESTAMP, SECONDS_PER_TIMESTAMP, Settings

# The decoder returns the logits of a whole prompt for every row; this bounds their number, and so the rows of a batch.
MAX_PROMPT_LOGITS = 64_000_000
# Finished rows leave the batch when they are this share of it: copying the others costs as much as a few tokens.
DROP_SHARE = 0.25
SEED = 0


class Backend(Protocol):
    """A runner of the graphs: `graphs.Graphs`, or a fake."""

    drops_rows: bool  # whether it pays to take finished rows out of a cache

    def encode(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the hidden states of log-mel windows `[n, mels, frames]`."""

    def begin(self, tokens: NDArray[np.int64], hidden: NDArray[np.float32]) -> tuple[NDArray[np.float32], Any]:
        """Return logits `[n, length, vocab]` and cache for ids `[n, length]`."""

    def step(self, tokens: NDArray[np.int64], cache: Any) -> tuple[NDArray[np.float32], Any]:
        """Return logits `[n, 1, vocab]` and cache for ids `[n]`."""


@dataclass(frozen=True)
class Fallback:
    """The limits of a good window, and the temperatures to try for one that is not good.

    The defaults are those of the Whisper paper (section 4.5); the compression ratio is that of transformers, which
    compresses token ids instead of text.
    """

    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression_ratio: float = 1.35  # above it, the text repeats itself
    log_prob: float = -1.0  # below it, on average over the tokens, the text is a guess
    no_speech: float = 0.6  # above it, a guess is silence


@dataclass(frozen=True)
class Segment:
    """A stretch of one recording between two timestamps."""

    start: float  # seconds from the start of the recording
    end: float  # seconds
    tokens: list[int]  # timestamps among them
    posteriors: list[float]  # of each token, 0 to 1


@dataclass(frozen=True)
class Transcript:
    """The transcript of one recording."""

    tokens: list[int]  # of all segments, as `generate()` gives them
    language: str | None  # code; None if the checkpoint names none
    segments: list[Segment]
    confidence: float  # 0 to 1, mean posterior of the text tokens, or of all tokens if there is no text


class BrokenOutput(ModelFailed):
    """The model returned NaN for this recording."""


@dataclass
class _Recording:
    """The progress of one recording."""

    features: NDArray[np.float32]  # [mels, frames]
    options: Options
    language: str | None
    seek: int = 0  # frames that are done
    segments: list[Segment] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # posteriors of the end tokens
    broken: bool = False

    @property
    def done(self) -> bool:
        return self.broken or self.seek >= self.features.shape[1]


@dataclass
class _Answer:
    """The tokens that the decoder wrote for one window."""

    tokens: list[int] = field(default_factory=list)  # with the end token, unless the limit was reached before
    log_probs: list[float] = field(default_factory=list)  # of each token
    no_speech: float = 0.0
    broken: bool = False


class Generator:
    """A checkpoint, ready to transcribe."""

    def __init__(
        self,
        graphs: Backend,
        settings: Settings,
        mel_filters: NDArray[np.float64],
        max_rows: int = 16,
        fallback: Fallback = Fallback(),
    ) -> None:
        """Bind the graphs to their settings.

        Args:
            graphs: runs the graphs.
            settings: of the checkpoint.
            mel_filters: `[n_fft // 2 + 1, mels]`.
            max_rows: windows in one run of a graph; bounds memory.
            fallback: for the requests that ask for it.
        """
        self._graphs = graphs
        self._settings = settings
        self._mel_filters = mel_filters
        self._max_rows = max_rows
        self._fallback = fallback
        # as `generate()` without a fallback
        self._plain = Fallback((0.0,), float("inf"), -float("inf"), float("inf"))

    def transcribe(self, requests: list[tuple[NDArray[np.float32], Options]]) -> list[Transcript | BrokenOutput]:
        """Transcribe waveforms, float32 `[samples]`, each with its options; a broken one does not affect the others."""
        recordings = [_Recording(self.features(waveform), options, options.language) for waveform, options in requests]
        # A recording longer than a window needs timestamps, because they say where the next window begins.
        for recording in recordings:
            if recording.features.shape[1] > self._settings.window_frames and not recording.options.timestamps:
                recording.options = Options(**{**vars(recording.options), "timestamps": True})
        while active := [recording for recording in recordings if not recording.done]:
            self._round(active)
        return [self._transcript(recording) for recording in recordings]

    def features(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-mel features, float32 `[mels, frames]`, of a waveform, float32 `[samples]`."""
        return log_mel(waveform, self._settings, self._mel_filters)

    def _round(self, active: list[_Recording]) -> None:
        """Transcribe the next window of every recording."""
        for start in range(0, len(active), self._max_rows):
            rows = active[start : start + self._max_rows]
            hidden = self._graphs.encode(np.stack([self._window(recording) for recording in rows]))
            self._detect_languages(rows, hidden)
            for recording, answer in zip(rows, self._answers(rows, hidden), strict=True):
                self._advance(recording, answer)

    def _window(self, recording: _Recording) -> NDArray[np.float32]:
        window = recording.features[:, recording.seek : recording.seek + self._settings.window_frames]
        return np.pad(window, ((0, 0), (0, self._settings.window_frames - window.shape[1])))

    def _detect_languages(self, rows: list[_Recording], hidden: NDArray[np.float32]) -> None:
        """Set the most likely language after <|startoftranscript|>, for the rows that have none yet."""
        unknown = [index for index, recording in enumerate(rows) if recording.language is None]
        if not self._settings.languages or not unknown:
            return
        start = np.full((len(unknown), 1), self._settings.start)
        logits = self._graphs.begin(start, hidden[unknown])[0][:, -1]
        codes, tokens = zip(*self._settings.languages.items(), strict=True)
        for index, best in zip(unknown, logits[:, list(tokens)].argmax(axis=1), strict=True):
            rows[index].language = codes[best]

    def _answers(self, rows: list[_Recording], hidden: NDArray[np.float32]) -> list[_Answer | None]:
        """Return one answer per row; None for a window without speech."""
        answers: list[_Answer | None] = [None] * len(rows)
        pending = list(range(len(rows)))
        for attempt, temperature in enumerate(self._fallback.temperatures):
            written = self._decode_all([rows[index] for index in pending], hidden[pending], temperature)
            again = []
            for index, answer in zip(pending, written, strict=True):
                limits = self._fallback if rows[index].options.temperature_fallback else self._plain
                answers[index], accepted = self._judge(answer, limits)
                if not accepted and attempt + 1 < len(limits.temperatures):
                    again.append(index)
            pending = again
            if not pending:
                break
        return answers

    def _judge(self, answer: _Answer, limits: Fallback) -> tuple[_Answer | None, bool]:
        """Return the answer, or None for silence, and whether it is good enough."""
        if answer.broken:
            return answer, True
        likely = sum(answer.log_probs) / len(answer.log_probs) >= limits.log_prob
        if not likely and answer.no_speech > limits.no_speech:
            return None, True
        return answer, likely and _compression_ratio(answer.tokens, self._settings) <= limits.compression_ratio

    def _decode_all(self, rows: list[_Recording], hidden: NDArray[np.float32], temperature: float) -> list[_Answer]:
        """Return the answers of rows with prompts of any length; run one batch for each length."""
        prompts = [[*row.options.prompt, *row.options.init_tokens(self._settings, row.language)] for row in rows]
        answers = [_Answer() for _ in rows]
        for length in sorted({len(prompt) for prompt in prompts}):
            same = [index for index, prompt in enumerate(prompts) if len(prompt) == length]
            most = max(1, MAX_PROMPT_LOGITS // (length * self._settings.vocab_size))
            for start in range(0, len(same), most):
                batch = same[start : start + most]
                _Batch(
                    self._graphs,
                    self._settings,
                    [rows[index] for index in batch],
                    [answers[index] for index in batch],
                    temperature,
                ).run(np.array([prompts[index] for index in batch]), hidden[batch])
        return answers

    def _advance(self, recording: _Recording, answer: _Answer | None) -> None:
        """Add a window's segments to its recording and move on."""
        frames = min(self._settings.window_frames, recording.features.shape[1] - recording.seek)
        if answer is None:
            recording.seek += frames
            return
        if answer.broken:
            recording.broken = True
            return
        posteriors = np.exp(answer.log_probs).tolist()
        tokens = answer.tokens
        if tokens[-1] == self._settings.end:
            tokens = tokens[:-1]
            recording.ends.append(posteriors[-1])
        offset_s = recording.seek / FRAMES_PER_TIMESTAMP * SECONDS_PER_TIMESTAMP
        found, moved = windows.split(tokens, frames, self._settings)
        recording.segments += [
            Segment(
                offset_s + segment.start_s,
                offset_s + segment.end_s,
                tokens[segment.first : segment.end],
                posteriors[segment.first : segment.end],
            )
            for segment in found
        ]
        recording.seek += moved

    def _transcript(self, recording: _Recording) -> Transcript | BrokenOutput:
        if recording.broken:
            return BrokenOutput("the model returned NaN for this recording")
        tokens = [token for segment in recording.segments for token in segment.tokens]
        posteriors = [posterior for segment in recording.segments for posterior in segment.posteriors]
        text = [posterior for token, posterior in zip(tokens, posteriors, strict=True) if token < self._settings.end]
        # If all windows were skipped as silence, no token tells how sure the model is.
        heard = text or [*posteriors, *recording.ends] or [1.0]
        return Transcript(tokens, recording.language, recording.segments, float(np.mean(heard)))


class _Batch:
    """Rows with prompts of one length, decoded side by side."""

    def __init__(
        self,
        graphs: Backend,
        settings: Settings,
        rows: list[_Recording],
        answers: list[_Answer],
        temperature: float,
    ) -> None:
        self._graphs = graphs
        self._settings = settings
        self._rows = rows
        self._answers = answers
        self._done = [False] * len(rows)
        self._temperature = temperature
        # The draws of a row must not depend on the other rows.
        self._random = [np.random.default_rng([SEED, row.seek, round(100 * temperature)]) for row in rows]

    def run(self, prompts: NDArray[np.int64], hidden: NDArray[np.float32]) -> None:
        """Fill the answers, from the ids of prompts `[n, length]` and the encoder's hidden states."""
        logits, cache = self._graphs.begin(prompts, hidden)
        self._note_no_speech(logits, prompts)
        limits = [self._limit(row, prompts.shape[1]) for row in self._rows]
        history = rules.History.empty(np.array([row.options.timestamps for row in self._rows]))
        batch = np.arange(len(self._rows))  # the row of `self._rows` that each row of the cache belongs to
        while True:
            tokens = self._write(logits[:, -1], history, batch, limits)
            history = history.append(tokens, self._settings)
            going = np.array([not self._done[row] for row in batch])
            if not going.any():
                return
            if self._graphs.drops_rows and going.mean() <= 1 - DROP_SHARE:
                left = np.flatnonzero(going)
                batch, tokens = batch[left], tokens[left]
                cache, history = cache.keep(left), history.keep(left)
            logits, cache = self._graphs.step(tokens, cache)

    def _write(
        self, logits: NDArray[np.float32], history: rules.History, batch: NDArray[np.int64], limits: list[int]
    ) -> NDArray[np.int64]:
        """Return the next token `[n]` of every row of the batch, and add it to each unfinished answer."""
        broken = np.isnan(logits).any(axis=1)
        log_probs = rules.log_softmax(rules.allow(np.where(broken[:, None], 0, logits), history, self._settings))
        tokens: NDArray[np.int64] = log_probs.argmax(axis=1)
        for position, row in enumerate(batch):
            if self._done[row]:
                continue
            answer = self._answers[row]
            if self._temperature > 0:
                tokens[position] = self._draw(log_probs[position], self._random[row])
            answer.tokens.append(int(tokens[position]))
            answer.log_probs.append(float(log_probs[position, tokens[position]]))
            answer.broken = bool(broken[position])
            ended = tokens[position] == self._settings.end
            self._done[row] = ended or answer.broken or len(answer.tokens) >= limits[row]
        return tokens

    def _draw(self, log_probs: NDArray[np.float32], random: np.random.Generator) -> int:
        weights = np.exp((log_probs - log_probs.max()).astype(np.float64) / self._temperature)
        return int(random.choice(len(weights), p=weights / weights.sum()))

    def _limit(self, row: _Recording, prompt_length: int) -> int:
        """Return the number of tokens that may be written."""
        wanted = row.options.max_new_tokens or self._settings.max_new_tokens
        if wanted is None:
            wanted = self._settings.max_length - prompt_length
        return max(1, min(wanted, self._settings.max_positions - prompt_length))

    def _note_no_speech(self, logits: NDArray[np.float32], prompts: NDArray[np.int64]) -> None:
        """Store the probability of <|nospeech|> after <|startoftranscript|>, from the logits of the whole prompt."""
        (_, starts) = np.nonzero(prompts == self._settings.start)
        at_start = logits[np.arange(len(prompts)), starts]
        probabilities = np.exp(rules.log_softmax(at_start)[:, self._settings.no_speech])
        for answer, probability in zip(self._answers, probabilities, strict=True):
            answer.no_speech = float(probability)


def _compression_ratio(tokens: list[int], settings: Settings) -> float:
    """Return the bytes of the token ids over their bytes after zlib, as transformers measures repetition."""
    width = int(log2(settings.vocab_size) / 8) + 1
    data = b"".join(token.to_bytes(width, "little") for token in tokens)
    return len(data) / len(zlib.compress(data))
