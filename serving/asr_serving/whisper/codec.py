"""What lies around the engine: audio and parameters become windows, and tokens become text and words."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from asr_contract import tensors
from numpy.typing import NDArray
from tokenizers import Tokenizer

from asr_serving.whisper import options as whisper_options
from asr_serving.whisper.log_mel import log_mel
from asr_serving.whisper.options import Options
from asr_serving.whisper.recording import Recording, Segment, Transcript
from asr_serving.whisper.settings import FILE, Settings

TOKENIZER, MEL_FILTERS = "tokenizer.json", "mel_filters.npy"  # files


@dataclass(frozen=True)
class Answer:
    """The answer for one recording, or for a part of a long one."""

    text: str  # without spaces around it
    confidence: float  # 0 to 1
    language: str  # code
    words: list[dict[str, Any]]  # word, start, end, confidence; or segments; empty unless times were requested
    segments: list[dict[str, Any]]  # those with text: text, start, end, confidence, and their window's measures

    def outputs(self) -> dict[str, str | float]:
        """Return the output tensors."""
        return {
            tensors.TRANSCRIPT: self.text,
            tensors.CONFIDENCE: self.confidence,
            tensors.WORDS: json.dumps(self.words, ensure_ascii=False),
            tensors.LANGUAGE: self.language,
            tensors.SEGMENTS: json.dumps(self.segments, ensure_ascii=False),
        }


class Codec:
    """The tokenizer, the filters and the settings of a checkpoint."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer, mel_filters: NDArray[np.float64]) -> None:
        """Bind the parts; mel_filters `[n_fft // 2 + 1, mels]`."""
        self.settings = settings
        self._tokenizer = tokenizer
        self._mel_filters = mel_filters

    @staticmethod
    def load(folder: Path) -> "Codec":
        """Load what `triton-asr export` wrote into `folder`: whisper.json, tokenizer.json, mel_filters.npy.

        Raises:
            ValueError, OSError: a file is missing or broken.
        """
        settings = Settings.load(folder / FILE)
        mel_filters = np.load(folder / MEL_FILTERS, allow_pickle=False)
        tokenizer = Tokenizer.from_str((folder / TOKENIZER).read_text(encoding="utf-8"))
        return Codec(settings, tokenizer, mel_filters)

    def options(self, parameters: Mapping[str, object]) -> Options:
        """Return the options in the parameters of a request.

        Raises:
            ParameterError: a parameter is unknown or malformed.
        """
        return whisper_options.parse(parameters, self.settings, self.encode)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens around them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: list[int]) -> str:
        """Return the text of tokens, like transformers' `batch_decode(skip_special_tokens=True)`."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def features(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log-mel features, float32 `[mels, frames]`, of a waveform, float32 `[samples]`."""
        return log_mel(waveform, self.settings, self._mel_filters)

    def recording(
        self,
        waveform: NDArray[np.float32],
        options: Options,
        deadline: float = float("inf"),
        whole_windows: bool = True,
    ) -> Recording:
        """Return a recording, float32 `[samples]`, that is to be transcribed; see `Recording`."""
        audio_frames = -(-len(waveform) // self.settings.hop_length)
        features = self.features(waveform)
        return Recording(features, audio_frames, options, self.settings, self.decode, deadline, whole_windows)

    def answer(self, transcript: Transcript, options: Options, seconds: float = float("inf")) -> Answer:
        """Return the answer that a transcript makes for a request.

        Args:
            transcript: of the recording.
            options: of the request.
            seconds: of the recording. Segments end with it: a window is filled up with silence, and a text without
                timestamps ends with its window.
        """
        text = self.decode(transcript.tokens).strip(" ")
        words = [
            {**word, "start": round(word["start"], 2), "end": round(word["end"], 2)}
            for word in self._words(transcript, options)
        ]
        segments = [self._segment(segment, seconds) for segment in transcript.segments]
        spoken = [segment for segment in segments if segment["text"]]
        return Answer(text, transcript.confidence, transcript.language or "", words, spoken)

    def _words(self, transcript: Transcript, options: Options) -> list[dict[str, Any]]:
        """Return words, or segments if only their times were requested."""
        if options.word_timestamps:
            return [
                {**asdict(word), "word": word.word.strip(), "confidence": round(word.confidence, 4)}
                for segment in transcript.segments
                for word in segment.words
            ]
        if not options.timestamps:
            return []
        words = [
            {
                "word": self.decode(segment.tokens).strip(),
                "start": segment.start,
                "end": segment.end,
                "confidence": self._confidence(segment),
            }
            for segment in transcript.segments
        ]
        return [word for word in words if word["word"]]

    def _segment(self, segment: Segment, seconds: float) -> dict[str, Any]:
        start, end = segment.spoken
        measures = {name: float(f"{value:.6g}") for name, value in asdict(segment.measures).items()}
        return {
            "text": self.decode(segment.tokens).strip(),
            "start": round(min(start, seconds), 3),
            "end": round(min(end, seconds), 3),
            "confidence": self._confidence(segment),
            **measures,
        }

    def _confidence(self, segment: Segment) -> float:
        """Return the mean posterior of the text tokens, 0 to 1."""
        posteriors = [
            posterior
            for token, posterior in zip(segment.tokens, segment.posteriors, strict=True)
            if token < self.settings.end
        ]
        return round(float(np.mean(posteriors)), 4) if posteriors else 0.0
