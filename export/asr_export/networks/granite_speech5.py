"""Granite Speech 5 (TurboCTC): log-mel features with their slopes, and a Conformer that attends within blocks.

Some of its layers keep every second frame, and the labels that the middle layer expects are given to the layers after
it: "self-conditioned CTC" (Nozaki & Komatsu 2021). The features are those of transformers'
GraniteSpeech5FeatureExtractor, for each recording as if it were alone: transformers reflects the end of the longest
recording of a batch, and pads the others with silence.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from asr_export.networks.encoder import batch_norm
from asr_export.networks.parts.attention import attend, by_key, project
from asr_export.networks.parts.batch import conv_length, first
from asr_export.networks.parts.geometry import Geometry
from asr_export.networks.parts.spectrogram import PowerSpectrum

# From transformers' GraniteSpeech5FeatureExtractor, which has them only in its code.
_MEL_FLOOR = 1e-10
_STACKED = 2  # frames that it stacks into one


class GraniteSpeech5Network(nn.Module):
    """GraniteSpeech5ForCTC as an `asr_export.networks.acoustic.Network`."""

    def __init__(self, model: Any, feature_extractor: Any) -> None:
        super().__init__()
        self.features = GraniteFeatures(feature_extractor)
        self.encoder = model.encoder
        self.ctc_head = model.ctc_head

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and valid frames, as `asr_export.networks.acoustic.Network` says."""
        features, counts = self.features(waveforms, lengths)
        hidden, counts = _encode(self.encoder, self.encoder.input_linear(features), counts)
        return self.ctc_head(hidden), counts


class GraniteFeatures(nn.Module):
    """The features of the checkpoint's GraniteSpeech5FeatureExtractor, for a batch."""

    def __init__(self, feature_extractor: Any) -> None:
        super().__init__()
        self.hop = feature_extractor.hop_length
        self.window = feature_extractor.win_length
        self.floor = feature_extractor.logmel_floor_db
        self.reach: int = (feature_extractor.delta_win_length - 1) // 2
        mel = feature_extractor.mel_filters
        self.spectrum = PowerSpectrum(_transform(feature_extractor.n_fft, mel.spectrogram.window), self.hop)
        self.register_buffer("mel", mel.mel_scale.fb)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[n, frames, 4 * bins]`, undefined beyond an item's end, and valid frames int64 `[n]`."""
        stacks = (waveforms.shape[1] // self.hop + _STACKED - 1) // _STACKED
        counts = conv_length(torch.div(lengths, self.hop, rounding_mode="trunc"), 1, _STACKED)
        power = self.spectrum(self._reflected(waveforms, lengths, counts), stacks * _STACKED)
        log_mel = torch.log10(torch.clamp(power @ self.mel, min=_MEL_FLOOR))
        valid = first(log_mel, counts * _STACKED)[:, :, None]
        # No value is below the logarithm of the floor.
        loudest = torch.where(valid, log_mel, np.log10(_MEL_FLOOR)).amax(dim=(1, 2), keepdim=True)
        scaled = torch.maximum(log_mel, loudest - self.floor) / 4 + 1
        features = torch.cat([scaled, self._slopes(scaled, counts * _STACKED)], dim=2)
        return features.reshape(features.shape[0], -1, _STACKED * features.shape[2]), counts

    def _reflected(self, waveforms: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
        """Reflect each waveform about its first and its last sample, by half a window; return `[n, more samples]`.

        Where the middle of its last frame lies beyond its end, it first becomes longer by silence.
        """
        half = self.window // 2
        silent = nn.functional.pad(waveforms, (0, _STACKED * self.hop))
        last = torch.maximum(lengths - 1, (counts * _STACKED - 1) * self.hop)[:, None]
        position: Tensor = torch.arange(waveforms.shape[1] + self.window)[None, :] - half
        position = torch.where(position < 0, -position, torch.where(position > last, 2 * last - position, position))
        # What lies further beyond the end is used by no valid frame.
        position = torch.where(position < 0, 0, position)
        rows = torch.arange(silent.shape[0])[:, None] * silent.shape[1]
        reflected = silent.flatten().index_select(0, (rows + position).flatten())
        return reflected.reshape(position.shape)

    def _slopes(self, features: Tensor, counts: Tensor) -> Tensor:
        """Return the slope of a line through `reach` frames before and after each: torchaudio's compute_deltas."""
        is_last = (torch.arange(features.shape[1])[None, :] == counts[:, None] - 1)[:, :, None]
        before = after = features
        slopes = torch.zeros_like(features)
        for step in range(1, self.reach + 1):
            before = torch.cat([before[:, :1], before[:, :-1]], dim=1)
            after = torch.where(is_last, after, torch.cat([after[:, 1:], after[:, -1:]], dim=1))
            slopes = slopes + step * (after - before)
        return slopes / (self.reach * (self.reach + 1) * (2 * self.reach + 1) / 3)


def geometry(config: Any, feature_extractor: Any) -> Geometry:
    """Return the geometry of the frames that stacking and the layers that keep every second frame leave."""
    merged = _STACKED * 2 ** len(config.encoder_config.subsample_layers)
    hop = feature_extractor.hop_length
    # transformers reflects half a transform, though the window is shorter.
    return Geometry((merged - 1) * hop, merged * hop, max((merged - 1) * hop, feature_extractor.n_fft // 2 + 1))


def _transform(n_fft: int, window: Tensor) -> Any:
    """Return complex128 `[bins, window]`: the window, then the DFT of a frame centred in `n_fft`."""
    size = window.shape[0]
    position = np.arange(size) + (n_fft - size) // 2
    dft = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), position) / n_fft)
    return dft * window.to(torch.float64).numpy()


def _encode(encoder: Any, hidden: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    halving = encoder.config.subsample_layers
    for index, layer in enumerate(encoder.layers):
        valid = first(hidden, counts)
        hidden = hidden + 0.5 * layer.feed_forward1(layer.norm_feed_forward1(hidden))
        hidden = hidden + _attend(layer.self_attn, layer.norm_self_att(hidden), valid)
        convolved = _convolve(layer.conv, layer.norm_conv(hidden), valid)
        if index in halving:
            hidden = _halve(hidden)
            convolved = convolved[:, : hidden.shape[1]]
            counts = conv_length(counts, 2, 2)
        hidden = hidden + convolved
        hidden = hidden + 0.5 * layer.feed_forward2(layer.norm_feed_forward2(hidden))
        hidden = layer.norm_out(hidden)
        if index + 1 == encoder.config.num_hidden_layers // 2:
            hidden = hidden + encoder.out_mid(torch.softmax(encoder.out(hidden), dim=-1))
    return hidden, counts


def _halve(hidden: Tensor) -> Tensor:
    """Return the means of two neighbours, without an odd last frame: `[n, frames, channels]` -> half the frames."""
    half = hidden.shape[1] // 2
    return hidden[:, : 2 * half].reshape(hidden.shape[0], half, 2, hidden.shape[2]).mean(dim=2)


def _attend(attention: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """Apply attention within blocks of `context_size` frames, with Shaw's embedding of each key's distance."""
    size, heads = attention.context_size, attention.config.num_attention_heads
    n, frames, channels = hidden.shape
    blocks = (frames + size - 1) // size
    # Too many zeros, and a cut: the number of them would depend on the length.
    whole = nn.functional.pad(hidden, (0, 0, 0, size - 1))[:, : blocks * size].reshape(n * blocks, size, channels)
    keys = nn.functional.pad(valid.to(hidden.dtype), (0, size - 1))[:, : blocks * size].reshape(n * blocks, size)
    query, key, value = project(whole, heads, attention.q_proj, attention.k_proj, attention.v_proj)
    distances = torch.arange(size - 1, -size, -1) + attention.config.max_position_embeddings
    by_distance = by_key(query @ attention.rel_pos_emb.weight[distances].T)
    scores = (query @ key.transpose(-2, -1) + by_distance) * attention.scaling
    scores = torch.where(keys[:, None, None, :] > 0, scores, torch.finfo(hidden.dtype).min)
    attended = attend(scores, value).reshape(n, blocks * size, -1)
    return cast(Tensor, attention.o_proj(attended[:, :frames]))


def _convolve(module: Any, normed: Tensor, valid: Tensor) -> Tensor:
    gated = nn.functional.glu(module.pointwise_lin1(normed), dim=-1)
    heard = module.depthwise_conv(torch.where(valid[:, :, None], gated, 0.0).transpose(1, 2))
    mixed = nn.functional.silu(batch_norm(module.norm, heard))
    return cast(Tensor, module.pointwise_lin2(mixed.transpose(1, 2)))
