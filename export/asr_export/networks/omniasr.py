"""OmniASR-CTC (Omnilingual ASR): Wav2Vec2 with layer norms throughout, under other names than transformers' Wav2Vec2.

Omnilingual ASR team 2025, "Omnilingual ASR: Open-Source Multilingual Speech Recognition for 1600+ Languages".
"""

from typing import Any

import torch
from torch import Tensor, nn

from asr_export.networks import waveform
from asr_export.networks.encoder import run_layers
from asr_export.networks.parts.batch import conv_length, first
from asr_export.networks.parts.geometry import Geometry

# Added to the variance by transformers' OmniASRFeatureExtractor, which has it only in its code.
_VARIANCE_FLOOR = 1e-5


class OmniAsrNetwork(nn.Module):
    """OmniASRForCTC as an `asr_export.networks.acoustic.Network`."""

    def __init__(self, model: Any, feature_extractor: Any) -> None:
        super().__init__()
        self.tower = model.model.audio_tower
        self.ctc_head = model.ctc_head
        self.normalize = feature_extractor.do_normalize

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and valid frames, as `asr_export.networks.acoustic.Network` says."""
        if self.normalize:
            waveforms = waveform.normalize(waveforms, lengths, _VARIANCE_FLOOR)
        subsampling = self.tower.subsampling
        for layer in subsampling.conv_layers:
            lengths = conv_length(lengths, layer.conv.kernel_size[0], layer.conv.stride[0])
        hidden = subsampling(waveforms[:, None])
        valid = first(hidden, lengths)
        hidden = self.tower.encode_positions(torch.where(valid[:, :, None], hidden, 0.0))
        return self.ctc_head(self.tower.layer_norm(run_layers(self.tower.layers, hidden, valid))), lengths


def geometry(config: Any, feature_extractor: Any) -> Geometry:
    """Return the geometry of the strided convolutions."""
    return waveform.geometry(config.audio_config, feature_extractor)
