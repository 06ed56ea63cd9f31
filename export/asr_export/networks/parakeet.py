"""Parakeet-CTC: NeMo's log-mel features, convolutions that keep every eighth frame, and a Fast Conformer.

Rekesh et al. 2023, "Fast Conformer with Linearly Scalable Attention for Efficient Speech Recognition". The features
are those of transformers' ParakeetFeatureExtractor.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asr_export.networks import conformer
from asr_export.networks.parts.attention import attend, attention_mask, by_head, by_key, project
from asr_export.networks.parts.batch import conv_length, first
from asr_export.networks.parts.geometry import Geometry
from asr_export.networks.parts.log_mel import centre, log1p
from asr_export.networks.parts.spectrogram import PowerSpectrum

# From transformers' ParakeetFeatureExtractor, which has them only in its code.
_LOG_GUARD = 2.0**-24
_DEVIATION_GUARD = 1e-5
# The features are divided by a deviation. If two frames happen to agree, it is only rounding noise.
_FEWEST_FRAMES = 4


class ParakeetNetwork(nn.Module):
    """ParakeetForCTC as an `asr_export.networks.acoustic.Network`."""

    def __init__(self, model: Any, feature_extractor: Any) -> None:
        super().__init__()
        self.features = NemoFeatures(feature_extractor)
        self.encoder = model.encoder
        self.ctc_head = model.ctc_head

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and valid frames, as `asr_export.networks.acoustic.Network` says."""
        features, counts = self.features(waveforms, lengths)
        hidden, counts = _subsample(self.encoder.subsampling, features, counts)
        hidden = _encode(self.encoder, hidden * self.encoder.input_scale, first(hidden, counts))
        return self.ctc_head(hidden), counts


class NemoFeatures(nn.Module):
    """The features of the checkpoint's ParakeetFeatureExtractor, for a batch."""

    def __init__(self, feature_extractor: Any) -> None:
        super().__init__()
        self.hop = feature_extractor.hop_length
        self.window = feature_extractor.win_length
        self.preemphasis = feature_extractor.preemphasis
        self.spectrum = PowerSpectrum(_transform(feature_extractor.n_fft, self.window), self.hop)
        self.register_buffer("mel", feature_extractor.mel_filters.T.contiguous())

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[n, frames, bins]`, zero beyond an item's end, and valid frames int64 `[n]`."""
        counts = torch.div(lengths, self.hop, rounding_mode="trunc")
        before = nn.functional.pad(waveforms, (1, 0))[:, :-1]
        emphasised = torch.where(first(waveforms, lengths), waveforms - self.preemphasis * before, 0.0)
        # Frames are centred on multiples of the hop.
        centred_frames = nn.functional.pad(emphasised, (self.window // 2, self.window))
        power = self.spectrum(centred_frames, waveforms.shape[1] // self.hop)
        # The division subtracts the constant log of the guard, which removing the mean takes out anyway. Without it,
        # float32 would lose digits close to the guard, where the deviation that divides is small.
        centred, variance = centre(log1p(power @ self.mel / _LOG_GUARD), counts)
        return centred / (torch.sqrt(variance) + _DEVIATION_GUARD), counts


def inputs(features: Any) -> dict[str, Tensor]:
    """Return the inputs of transformers' own model for one recording, without the frames that the extractor masks.

    With these frames, the attention mask has an empty row at every eighth length, and eager attention gives only NaN.
    """
    valid = features["attention_mask"][0].bool()
    return {name: tensor[:, valid] for name, tensor in features.items()}


def geometry(config: Any, feature_extractor: Any) -> Geometry:
    """Return the geometry of frames that are centred on multiples of the stride."""
    hop = feature_extractor.hop_length
    return Geometry(0, hop * config.encoder_config.subsampling_factor, hop * _FEWEST_FRAMES)


def _transform(n_fft: int, window: int) -> Any:
    """Return complex128 `[bins, window]`: a window that is not periodic, then the DFT of a frame centred in `n_fft`."""
    position = np.arange(window) + (n_fft - window) // 2
    dft = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), position) / n_fft)
    return dft * np.hanning(window)


def _subsample(subsampling: Any, features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Turn `[n, frames, bins]` into `[n, fewer frames, hidden]`; each convolution sees zeros beyond an item's end."""
    hidden = features[:, None]
    for layer in subsampling.layers:
        hidden = layer(hidden)
        if isinstance(layer, nn.Conv2d):
            if layer.stride[0] > 1:
                counts = conv_length(counts, layer.kernel_size[0], layer.stride[0], 2 * cast(int, layer.padding[0]))
            here = torch.arange(hidden.shape[2])[None, :] < counts[:, None]
            hidden = torch.where(here[:, None, :, None], hidden, 0.0)
    hidden = hidden.transpose(1, 2)
    linear = subsampling.linear
    # Not -1: torch.export would ask whether the batch is empty.
    return linear(hidden.reshape(hidden.shape[0], hidden.shape[1], linear.in_features)), counts


def _encode(encoder: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    mask = attention_mask(hidden, valid)
    embedded = conformer.relative_positions(hidden.shape[1], hidden.shape[2])
    for layer in encoder.layers:
        hidden = hidden + 0.5 * layer.feed_forward1(layer.norm_feed_forward1(hidden))
        hidden = hidden + _attend(layer.self_attn, layer.norm_self_att(hidden), mask, embedded)
        hidden = hidden + _convolve(layer.conv, layer.norm_conv(hidden), valid)
        hidden = hidden + 0.5 * layer.feed_forward2(layer.norm_feed_forward2(hidden))
        hidden = layer.norm_out(hidden)
    return hidden


def _attend(attention: Any, hidden: Tensor, mask: Tensor, embedded: Tensor) -> Tensor:
    """Apply attention with relative positions; their keys are the same for every item of the batch."""
    heads = attention.config.num_attention_heads
    query, key, value = project(hidden, heads, attention.q_proj, attention.k_proj, attention.v_proj)
    position = by_head(attention.relative_k_proj(embedded), heads)
    by_content = (query + attention.bias_u[:, None]) @ key.transpose(-2, -1)
    by_distance = by_key((query + attention.bias_v[:, None]) @ position.transpose(-2, -1))
    scores = (by_content + by_distance) * attention.scaling + mask
    return cast(Tensor, attention.o_proj(attend(scores, value)))


def _convolve(module: Any, normed: Tensor, valid: Tensor) -> Tensor:
    gated = nn.functional.glu(module.pointwise_conv1(normed.transpose(1, 2)), dim=1)
    heard = module.norm(module.depthwise_conv(torch.where(valid[:, None, :], gated, 0.0)))
    return cast(Tensor, module.pointwise_conv2(module.activation(heard)).transpose(1, 2))
