"""The CTC families that the kit exports, one table entry each."""

from dataclasses import dataclass
from typing import Any

import transformers


@dataclass(frozen=True)
class Family:
    """Where a family of checkpoints differs from the others."""

    architecture: str  # transformers' class, as config.json names it
    base: str  # attribute of that class which holds the encoder

    def model_class(self) -> Any:
        """The class in transformers."""
        return getattr(transformers, self.architecture)


# Keyed by `model_type` of config.json.
FAMILIES: dict[str, Family] = {
    "wav2vec2": Family("Wav2Vec2ForCTC", "wav2vec2"),
    "hubert": Family("HubertForCTC", "hubert"),
}
