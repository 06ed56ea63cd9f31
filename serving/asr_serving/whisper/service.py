"""The Whisper service: it turns waveforms and request parameters into text, segments and language."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from asr_contract import tensors
from numpy.typing import NDArray
from tokenizers import Tokenizer

from asr_serving.whisper import generation
from asr_serving.whisper import options as whisper_options
from asr_serving.whisper.graphs import Graphs
from asr_serving.whisper.options import Options
from asr_serving.whisper.settings import Settings


@dataclass(frozen=True)
class Answer:
    """The answer for one recording."""

    text: str
    confidence: float  # 0 to 1
    language: str  # code
    words: list[dict[str, Any]]  # segments: word, start, end, confidence; empty unless timestamps were requested

    def outputs(self) -> dict[str, str | float]:
        """Return the output tensors."""
        return {
            tensors.TRANSCRIPT: self.text,
            tensors.CONFIDENCE: self.confidence,
            tensors.WORDS: json.dumps(self.words, ensure_ascii=False),
            tensors.LANGUAGE: self.language,
        }


class Service:
    """An exported checkpoint, ready to answer."""

    def __init__(
        self, graphs: Graphs, generator: generation.Generator, settings: Settings, tokenizer: Tokenizer
    ) -> None:
        """Bind the parts of the checkpoint."""
        self.graphs = graphs
        self.generator = generator
        self.settings = settings
        self._tokenizer = tokenizer

    @staticmethod
    def load(folder: Path, gpu: int | None = None, threads: int = 0, max_rows: int = 16) -> "Service":
        """Load what `triton-asr export` wrote into `folder`: the graphs, whisper.json, tokenizer.json, mel_filters.npy.

        Raises:
            ValueError, OSError: a file is missing or broken.
            RuntimeError: the requested device cannot be used (`asr_contract.gpu.GpuError`).
        """
        settings = Settings.load(folder / "whisper.json")
        mel_filters = np.load(folder / "mel_filters.npy", allow_pickle=False)
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
        graphs = Graphs(folder, gpu, threads)
        return Service(graphs, generation.Generator(graphs, settings, mel_filters, max_rows), settings, tokenizer)

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

    def answer(self, requests: list[tuple[NDArray[np.float32], Options]]) -> list[Answer | generation.BrokenOutput]:
        """Transcribe waveforms, float32 `[samples]`; a broken one does not affect the others."""
        results = self.generator.transcribe(requests)
        return [
            result if isinstance(result, generation.BrokenOutput) else self._answer(result, options)
            for result, (_, options) in zip(results, requests, strict=True)
        ]

    def _answer(self, transcript: generation.Transcript, options: Options) -> Answer:
        words = [self._word(segment) for segment in transcript.segments] if options.timestamps else []
        return Answer(
            self.decode(transcript.tokens),
            transcript.confidence,
            transcript.language or "",
            [word for word in words if word["word"]],
        )

    def _word(self, segment: generation.Segment) -> dict[str, Any]:
        posteriors = [
            posterior
            for token, posterior in zip(segment.tokens, segment.posteriors, strict=True)
            if token < self.settings.end
        ]
        return {
            "word": self.decode(segment.tokens).strip(),
            "start": round(segment.start, 2),
            "end": round(segment.end, 2),
            "confidence": round(float(np.mean(posteriors)), 4) if posteriors else 0.0,
        }
