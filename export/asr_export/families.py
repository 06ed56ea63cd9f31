"""The CTC families that the kit exports, one table entry each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import transformers
from torch import Tensor

from asr_export import conformer, encoder, sew, sew_d, wavlm


@dataclass(frozen=True)
class Family:
    """Where a family of checkpoints differs from the others."""

    architecture: str  # transformers' class, as config.json names it
    base: str  # attribute of that class which holds the encoder
    # (base, features, valid) -> hidden, as `asr_export.encoder.encode`
    encode: Callable[[Any, Tensor, Tensor], Tensor] = encoder.encode

    def model_class(self) -> Any:
        """The class in transformers."""
        return getattr(transformers, self.architecture)


# Keyed by `model_type` of config.json.
FAMILIES: dict[str, Family] = {
    "wav2vec2": Family("Wav2Vec2ForCTC", "wav2vec2"),
    "hubert": Family("HubertForCTC", "hubert"),
    "unispeech": Family("UniSpeechForCTC", "unispeech"),
    "unispeech-sat": Family("UniSpeechSatForCTC", "unispeech_sat"),
    "data2vec-audio": Family("Data2VecAudioForCTC", "data2vec_audio"),
    "wavlm": Family("WavLMForCTC", "wavlm", partial(encoder.encode, run_layers=wavlm.run_layers)),
    "wav2vec2-conformer": Family("Wav2Vec2ConformerForCTC", "wav2vec2_conformer", conformer.encode),
    "sew": Family("SEWForCTC", "sew", sew.encode),
    "sew-d": Family("SEWDForCTC", "sew_d", sew_d.encode),
}
