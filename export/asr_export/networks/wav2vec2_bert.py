"""Wav2Vec2-BERT: Kaldi's filter bank, two frames stacked into one, and a Conformer with causal convolutions.

The features are those of transformers' SeamlessM4TFeatureExtractor. An odd last frame is stacked with padding:
transformers computes an output for it, but hides it from attention. So the encoder keeps two lengths: the number of
frames that are present, and the number of frames that attention sees.
"""

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asr_export.networks import conformer
from asr_export.networks.parts.attention import attend, attention_mask, by_key, clamp, project
from asr_export.networks.parts.batch import conv_length, first
from asr_export.networks.parts.geometry import Geometry
from asr_export.networks.parts.log_mel import centre
from asr_export.networks.parts.spectrogram import PowerSpectrum

# From transformers' SeamlessM4TFeatureExtractor, which has them only in its code.
_FRAME, _HOP, _FFT = 400, 160, 512
_PREEMPHASIS = 0.97
_FULL_SCALE = 2.0**15  # Kaldi's samples are 16-bit integers
_MEL_FLOOR = 1.192092955078125e-07
_VARIANCE_FLOOR = 1e-7
# The features are divided by the root of a variance. If two frames happen to agree, it is only rounding noise.
_FEWEST_FRAMES = 4


class Wav2Vec2BertNetwork(nn.Module):
    """Wav2Vec2BertForCTC as an `asr_export.networks.acoustic.Network`."""

    def __init__(self, model: Any, feature_extractor: Any) -> None:
        super().__init__()
        self.features = KaldiFeatures(feature_extractor)
        self.base = model.wav2vec2_bert
        self.lm_head = model.lm_head

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and valid frames, as `asr_export.networks.acoustic.Network` says."""
        features, present, attended = self.features(waveforms, lengths)
        hidden = self.base.feature_projection(features)[0]
        hidden = _encode(self.base.encoder, hidden, first(hidden, attended))
        if self.base.intermediate_ffn is not None:
            hidden = hidden + 0.5 * self.base.intermediate_ffn(hidden)
        if self.base.adapter is not None:
            hidden, present = _adapt(self.base.adapter, hidden, present, attended)
        return self.lm_head(hidden), present


class KaldiFeatures(nn.Module):
    """The features of the checkpoint's SeamlessM4TFeatureExtractor, for a batch."""

    def __init__(self, feature_extractor: Any) -> None:
        super().__init__()
        self.stride = feature_extractor.stride
        self.spectrum = PowerSpectrum(_transform(feature_extractor.window), _HOP)
        self.register_buffer("mel", torch.from_numpy(feature_extractor.mel_filters.astype(np.float32)))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features `[n, frames, stride * bins]`, and counts int64 `[n]`: all frames, those without padding."""
        counts = conv_length(lengths, _FRAME, _HOP)
        stacked = (waveforms.shape[1] - _FRAME) // _HOP // self.stride + 1
        # Zeros beyond the width, so that the last stack has all its frames.
        waveforms = nn.functional.pad(waveforms, (0, self.stride * _HOP))
        power = self.spectrum(waveforms, stacked * self.stride)
        centred, variance = centre(torch.log(torch.clamp(power @ self.mel, min=_MEL_FLOOR)), counts)
        features = centred / torch.sqrt(variance + _VARIANCE_FLOOR)
        features = features.reshape(features.shape[0], stacked, -1)
        attended = torch.div(counts, self.stride, rounding_mode="trunc")
        return features, conv_length(counts, 1, self.stride), attended


def geometry(config: Any, feature_extractor: Any) -> Geometry:
    """Return the geometry of the stacked frames and the adapter."""
    stacked = feature_extractor.stride
    stride = _HOP * stacked
    if config.add_adapter:
        stride *= config.adapter_stride**config.num_adapter_layers
    return Geometry(_FRAME + _HOP * (stacked - 1), stride, _FRAME + _HOP * (_FEWEST_FRAMES - 1))


def _transform(window: Any) -> Any:
    """Return complex128 `[257, 400]`: removal of the mean, pre-emphasis within the frame, window, DFT."""
    removed_mean = np.eye(_FRAME) - 1 / _FRAME
    emphasis = np.eye(_FRAME) - _PREEMPHASIS * np.eye(_FRAME, k=-1)
    emphasis[0, 0] = 1 - _PREEMPHASIS
    dft = np.fft.rfft(np.eye(_FRAME), n=_FFT, axis=0)
    return _FULL_SCALE * (dft * window) @ emphasis @ removed_mean


def _encode(encoder: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    hidden = torch.where(valid[:, :, None], hidden, 0.0)
    mask = attention_mask(hidden, valid)
    embedded = conformer.positions(encoder, hidden)
    for layer in encoder.layers:
        hidden = 0.5 * layer.ffn1(layer.ffn1_layer_norm(hidden)) + hidden
        hidden = hidden + _attend(layer.self_attn, layer.self_attn_layer_norm(hidden), mask, embedded)
        hidden = hidden + layer.conv_module(hidden, attention_mask=valid)
        hidden = layer.final_layer_norm(0.5 * layer.ffn2(layer.ffn2_layer_norm(hidden)) + hidden)
    return hidden


def _attend(attention: Any, hidden: Tensor, mask: Tensor, embedded: Tensor | None) -> Tensor:
    if attention.position_embeddings_type != "relative_key":
        return cast(Tensor, attention(hidden, attention_mask=mask, relative_position_embeddings=embedded)[0])
    query, key, value = project(hidden, attention.num_heads, attention.linear_q, attention.linear_k, attention.linear_v)
    scores = query @ key.transpose(-2, -1) + _by_distance(attention, query)
    scores = scores / math.sqrt(attention.head_size) + mask
    return cast(Tensor, attention.linear_out(attend(scores, value)))


def _by_distance(attention: Any, query: Tensor) -> Tensor:
    """Return the scores of the query with the embedding of each key's distance; distances are clamped to a window.

    transformers gathers an embedding for every pair of frames, `[frames, frames, head_size]`: gigabytes for a minute.
    """
    left, right = attention.left_max_position_embeddings, attention.right_max_position_embeddings
    scores = query @ attention.distance_embedding.weight.T
    distance = torch.arange(2 * query.shape[2] - 1) - (query.shape[2] - 1)
    return by_key(scores.index_select(3, clamp(distance, -left, right) + left))


def _adapt(adapter: Any, hidden: Tensor, present: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
    """Run layers that each keep every `stride`-th frame; their convolutions see zeros beyond an item's end."""
    if adapter.proj is not None:
        hidden = adapter.proj_layer_norm(adapter.proj(hidden))
    kernel, stride = adapter.kernel_size, adapter.stride
    for layer in adapter.layers:
        here = first(hidden, present)[:, :, None]
        residual = _pool(layer.residual_conv, layer.residual_layer_norm(hidden), here, layer)
        pooled = _pool(layer.self_attn_conv, layer.self_attn_layer_norm(hidden), here, layer)
        present = conv_length(present, kernel, stride, 2 * (stride // 2))
        attended = conv_length(attended, kernel, stride, 2 * (kernel // 2))
        mask = attention_mask(pooled, first(pooled, attended))
        hidden = layer.self_attn(pooled, attention_mask=mask)[0] + residual
        hidden = layer.ffn(layer.ffn_layer_norm(hidden)) + hidden
    return hidden, present


def _pool(conv: Any, normed: Tensor, here: Tensor, layer: Any) -> Tensor:
    heard = torch.where(here, normed, 0.0).transpose(1, 2)
    return cast(Tensor, layer.activation(conv(heard)).transpose(1, 2))
