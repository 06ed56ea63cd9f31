"""What transformers' `generate()` makes of a recording."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoTokenizer, WhisperFeatureExtractor, WhisperForConditionalGeneration


@dataclass(frozen=True)
class Reference:
    """A checkpoint as transformers runs it: one recording at a time, greedily unless told otherwise."""

    model: WhisperForConditionalGeneration
    extractor: WhisperFeatureExtractor
    tokenizer: Any

    @staticmethod
    def load(checkpoint: Path) -> "Reference":
        transformers.logging.set_verbosity_error()  # it warns of its own defaults
        return Reference(
            WhisperForConditionalGeneration.from_pretrained(checkpoint).eval(),
            WhisperFeatureExtractor.from_pretrained(checkpoint),
            AutoTokenizer.from_pretrained(checkpoint),
        )

    def features(self, audio: np.ndarray) -> torch.Tensor:
        """As the reference computes them: a recording within one window is filled up, a longer one is not."""
        if len(audio) <= self.extractor.n_samples:
            return self.extractor(audio, sampling_rate=16_000, return_tensors="pt").input_features
        return self.extractor(
            audio, sampling_rate=16_000, return_tensors="pt", truncation=False, padding="longest"
        ).input_features

    def generate(self, audio: np.ndarray, prompt: str = "", **options: Any) -> dict[str, Any]:
        """`sequences` (ids without the end token) and `segments`."""
        if prompt:
            options["prompt_ids"] = torch.tensor(self.tokenizer.get_prompt_ids(prompt))
        features = self.features(audio)
        if features.shape[-1] > self.extractor.nb_max_frames:
            options["return_timestamps"] = True
        with torch.inference_mode():
            answer = self.model.generate(features, return_segments=True, num_beams=1, **options)
        return {"tokens": answer["sequences"][0].tolist(), "segments": answer["segments"][0]}

    def text(self, tokens: list[int]) -> str:
        """The transcript as a pipeline would give it."""
        return str(self.tokenizer.batch_decode([tokens], skip_special_tokens=True)[0])
