"""The CTC families that the kit exports: one table entry each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import transformers

from asr_export.networks import (
    conformer,
    encoder,
    granite_speech5,
    lasr,
    omniasr,
    parakeet,
    sew,
    sew_d,
    wav2vec2_bert,
    waveform,
    wavlm,
)
from asr_export.networks.acoustic import Network
from asr_export.networks.parts.geometry import Geometry


@dataclass(frozen=True)
class Family:
    """The properties that distinguish a family of checkpoints."""

    architecture: str  # transformers' class, as config.json names it
    network: Callable[[Any, Any], Network]  # (model, feature_extractor) -> its part of the graph
    geometry: Callable[[Any, Any], Geometry]  # (config, feature_extractor) -> the position of its frames in time
    feature_extractor: str  # transformers' class
    inputs: Callable[[Any], dict[str, Any]]  # the extractor's results -> the inputs of transformers' own model
    head: str = "lm_head"  # attribute of the model whose weight has a row for each label
    # False if the feature extractor divides by a deviation, which is only its own rounding noise in digital silence.
    defined_in_silence: bool = True
    # True if its text is what the tokenizer writes with skip_special_tokens=True, as transformers' docs do.
    skips_special_tokens: bool = False

    def model_class(self) -> Any:
        """Return the class in transformers."""
        return getattr(transformers, self.architecture)


def _waveform(architecture: str, base: str, encode: waveform.Encode = encoder.encode) -> Family:
    network = partial(waveform.WaveformNetwork, base=base, encode=encode)
    return Family(architecture, network, waveform.geometry, "Wav2Vec2FeatureExtractor", waveform.inputs)


# Keyed by `model_type` of config.json.
FAMILIES: dict[str, Family] = {
    "wav2vec2": _waveform("Wav2Vec2ForCTC", "wav2vec2"),
    "hubert": _waveform("HubertForCTC", "hubert"),
    "unispeech": _waveform("UniSpeechForCTC", "unispeech"),
    "unispeech-sat": _waveform("UniSpeechSatForCTC", "unispeech_sat"),
    "data2vec-audio": _waveform("Data2VecAudioForCTC", "data2vec_audio"),
    "wavlm": _waveform("WavLMForCTC", "wavlm", partial(encoder.encode, run_layers=wavlm.run_layers)),
    "wav2vec2-conformer": _waveform("Wav2Vec2ConformerForCTC", "wav2vec2_conformer", conformer.encode),
    "sew": _waveform("SEWForCTC", "sew", sew.encode),
    "sew-d": _waveform("SEWDForCTC", "sew_d", sew_d.encode),
    "wav2vec2-bert": Family(
        "Wav2Vec2BertForCTC",
        wav2vec2_bert.Wav2Vec2BertNetwork,
        wav2vec2_bert.geometry,
        "SeamlessM4TFeatureExtractor",
        dict,
        defined_in_silence=False,
    ),
    "parakeet_ctc": Family(
        "ParakeetForCTC",
        parakeet.ParakeetNetwork,
        parakeet.geometry,
        "ParakeetFeatureExtractor",
        parakeet.inputs,
        head="ctc_head",
        defined_in_silence=False,
    ),
    "omniasr_ctc": Family(
        "OmniASRForCTC",
        omniasr.OmniAsrNetwork,
        omniasr.geometry,
        "OmniASRFeatureExtractor",
        waveform.inputs,
        head="ctc_head",
        skips_special_tokens=True,
    ),
    "lasr_ctc": Family(
        "LasrForCTC",
        lasr.LasrNetwork,
        lasr.geometry,
        "LasrFeatureExtractor",
        dict,
        head="ctc_head",
        skips_special_tokens=True,
    ),
    "granite_speech5_ctc": Family(
        "GraniteSpeech5ForCTC",
        granite_speech5.GraniteSpeech5Network,
        granite_speech5.geometry,
        "GraniteSpeech5FeatureExtractor",
        dict,
        head="ctc_head",
        skips_special_tokens=True,
    ),
}
