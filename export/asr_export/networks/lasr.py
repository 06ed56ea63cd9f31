"""LASR-CTC (MedASR): log-mel features, convolutions that keep every fourth frame, a Conformer with rotary positions.

The features are those of transformers' LasrFeatureExtractor.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asr_export.errors import UnsupportedCheckpoint
from asr_export.networks import conformer
from asr_export.networks.encoder import batch_norm
from asr_export.networks.parts.attention import attend, attention_mask, project
from asr_export.networks.parts.batch import conv_length, first
from asr_export.networks.parts.geometry import Geometry
from asr_export.networks.parts.spectrogram import PowerSpectrum

# From transformers' LasrFeatureExtractor, which has it only in its code.
_MEL_FLOOR = 1e-5
_CHANGING_ROPE = ("dynamic", "longrope")  # among transformers' ROPE_INIT_FUNCTIONS


class LasrNetwork(nn.Module):
    """LasrForCTC as an `asr_export.networks.acoustic.Network`."""

    def __init__(self, model: Any, feature_extractor: Any) -> None:
        super().__init__()
        kind = model.encoder.rotary_emb.rope_type
        if kind in _CHANGING_ROPE:
            raise UnsupportedCheckpoint(
                f"the rotary positions of this LasrForCTC are of type {kind!r}, whose frequencies change with a "
                "recording's length; needs a type with constant ones: default, linear, llama3 or yarn"
            )
        self.features = LasrFeatures(feature_extractor)
        self.encoder = model.encoder
        self.ctc_head = model.ctc_head

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and valid frames, as `asr_export.networks.acoustic.Network` says."""
        features, counts = self.features(waveforms, lengths)
        subsampler = self.encoder.subsampler
        hidden = subsampler(features)
        for layer in (subsampler.conv_0, subsampler.conv_1):  # they do not pad
            counts = conv_length(counts, layer.kernel_size[0], layer.stride[0])
        return self.ctc_head(_encode(self.encoder, hidden, first(hidden, counts))), counts


class LasrFeatures(nn.Module):
    """The features of the checkpoint's LasrFeatureExtractor, for a batch."""

    def __init__(self, feature_extractor: Any) -> None:
        super().__init__()
        self.window = feature_extractor.win_length
        self.hop = feature_extractor.hop_length
        self.spectrum = PowerSpectrum(_transform(feature_extractor.n_fft, self.window), self.hop)
        self.register_buffer("mel", feature_extractor.mel_filters.to(torch.float32))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[n, frames, bins]`, undefined beyond an item's end, and valid frames int64 `[n]`."""
        power = self.spectrum(waveforms, (waveforms.shape[1] - self.window) // self.hop + 1)
        features = torch.log(torch.clamp(power @ self.mel, min=_MEL_FLOOR))
        return features, conv_length(lengths, self.window, self.hop)


def geometry(config: Any, feature_extractor: Any) -> Geometry:
    """Return the geometry of frames that two convolutions without padding make of the features."""
    encoder = config.encoder_config
    kernel, stride = encoder.subsampling_conv_kernel_size, encoder.subsampling_conv_stride
    frames = kernel + (kernel - 1) * stride
    field = feature_extractor.win_length + (frames - 1) * feature_extractor.hop_length
    return Geometry(field, feature_extractor.hop_length * stride**2, field)


def _transform(n_fft: int, window: int) -> Any:
    """Return complex128 `[bins, window]`: a window that is not periodic, then the DFT of a frame padded to `n_fft`."""
    dft = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(window)) / n_fft)
    return dft * np.hanning(window)


def _encode(encoder: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    mask = attention_mask(hidden, valid)
    rotary = encoder.rotary_emb
    turn = rotary.attention_scaling * conformer.rotary_positions(hidden.shape[1], rotary.inv_freq)
    for layer in encoder.layers:
        kept, fed = layer.feed_forward_residual_weights
        hidden = kept * hidden + fed * layer.feed_forward1(layer.norm_feed_forward1(hidden))
        hidden = hidden + _attend(layer.self_attn, layer.norm_self_att(hidden), mask, turn)
        held, convolved = layer.conv_residual_weights
        hidden = held * hidden + convolved * _convolve(layer.conv, layer.norm_conv(hidden), valid)
        hidden = kept * hidden + fed * layer.feed_forward2(layer.norm_feed_forward2(hidden))
        hidden = layer.norm_out(hidden)
    return cast(Tensor, encoder.out_norm(hidden))


def _attend(attention: Any, hidden: Tensor, mask: Tensor, turn: Tensor) -> Tensor:
    heads = attention.config.num_attention_heads
    query, key, value = project(hidden, heads, attention.q_proj, attention.k_proj, attention.v_proj)
    scores = _turn(query, turn) @ _turn(key, turn).transpose(-2, -1) * attention.scaling
    return cast(Tensor, attention.o_proj(attend(scores + mask, value)))


def _turn(hidden: Tensor, turn: Tensor) -> Tensor:
    """Turn pairs of channels of `[n, heads, frames, channels]` by the cosines and sines `[2, frames, channels]`."""
    half = hidden.shape[-1] // 2
    return hidden * turn[0] + torch.cat([-hidden[..., half:], hidden[..., :half]], dim=-1) * turn[1]


def _convolve(module: Any, normed: Tensor, valid: Tensor) -> Tensor:
    gated = nn.functional.glu(module.pointwise_conv1(normed.transpose(1, 2)), dim=1)
    conv = module.depthwise_conv
    # PyTorch pads an even kernel less before than behind, and warns of it.
    before, beyond = (conv.kernel_size[0] - 1) // 2, conv.kernel_size[0] // 2
    padded = nn.functional.pad(torch.where(valid[:, None, :], gated, 0.0), (before, beyond))
    heard = nn.functional.conv1d(padded, conv.weight, conv.bias, groups=conv.groups)
    return cast(Tensor, module.pointwise_conv2(module.activation(batch_norm(module.norm, heard))).transpose(1, 2))
