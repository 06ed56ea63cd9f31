"""The acoustic graph: a ragged batch of waveforms -> CTC log-probs, exact whatever else is in the batch.

transformers pads a batch and lets the padding leak: into the GroupNorm of the first convolution, through the
positional convolutions, and into the strided convolutions of an adapter. Here every one of these sees the valid frames
alone, so that an item's output does not depend on its neighbours.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_export.families import Family

# Added to the variance by transformers' Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm.
_VARIANCE_FLOOR = 1e-7
# Samples that are summed in one go; about the square root of a recording's length, so that both sums are short.
_BLOCK = 512


class RaggedCtc(nn.Module):
    """One CTC checkpoint as a graph over a ragged batch.

    Args of `forward`:
        audio: float32 `[total]`, the waveforms of the batch one after the other.
        audio_shape: int32 `[n, 1]`, samples of each.

    Returns:
        log_probs: float32 `[n, frames, vocab]`, padded to the longest item or a frame or two beyond.
        frames: int32 `[n, 1]`, how many frames of each item are real.
    """

    def __init__(self, model: Any, family: Family, normalize: bool) -> None:
        super().__init__()
        self.base = getattr(model, family.base)
        self.lm_head = model.lm_head
        self.config = model.config
        self.family = family
        self.normalize = normalize
        for module in self.modules():
            if parametrize.is_parametrized(module):  # weight norm: one constant is cheaper than its computation
                parametrize.remove_parametrizations(module, "weight")

    def forward(self, audio: Tensor, audio_shape: Tensor) -> tuple[Tensor, Tensor]:
        waveforms, lengths = pad_ragged(audio, audio_shape)
        if self.normalize:
            waveforms = _normalize(waveforms, lengths)
        features, lengths = self._extract_features(waveforms, lengths)
        hidden = self.family.encode(self.base, features, _valid(features, lengths))
        adapter = getattr(self.base, "adapter", None)
        if adapter is not None:
            hidden, lengths = _adapt(adapter, hidden, lengths, self.config.adapter_stride)
        log_probs = torch.log_softmax(self.lm_head(hidden), dim=-1)
        return log_probs, lengths.to(torch.int32)[:, None]

    def _extract_features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`[n, samples]` -> `[n, frames, channels]` and the number of valid frames `[n]`."""
        hidden = waveforms[:, None]
        for layer in self.base.feature_extractor.conv_layers:
            lengths = _conv_length(lengths, layer.conv.kernel_size[0], layer.conv.stride[0])
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                hidden = layer.activation(_masked_channel_norm(layer.conv(hidden), lengths, norm))
            else:
                hidden = layer(hidden)
        return hidden.transpose(1, 2), lengths


def pad_ragged(audio: Tensor, audio_shape: Tensor) -> tuple[Tensor, Tensor]:
    """`[total]` and `[n, 1]` -> waveforms `[n, samples]`, zero beyond their end, and lengths int64 `[n]`.

    The width is that of the longest, rounded up to whole blocks.
    """
    lengths = audio_shape[:, 0].to(torch.int64)
    item = torch.arange(lengths.shape[0])
    # Where each item starts: a masked sum, because TensorRT has no CumSum on integers.
    starts = torch.where(item[None, :] < item[:, None], lengths[None, :], 0).sum(dim=1)
    width = torch.div(lengths.max() + _BLOCK - 1, _BLOCK, rounding_mode="trunc") * _BLOCK
    position = torch.arange(cast(int, width))  # a tensor on purpose: the graph's length must stay dynamic
    valid = position[None, :] < lengths[:, None]
    gathered = audio[torch.where(valid, starts[:, None] + position[None, :], 0)]
    return torch.where(valid, gathered, 0.0), lengths


def receptive_field(config: Any) -> tuple[int, int]:
    """Samples that one frame of the feature extractor hears, and samples between two output frames."""
    field, stride = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * stride
        stride *= step
    if getattr(config, "add_adapter", False):
        stride *= config.adapter_stride**config.num_adapter_layers
    return field, stride


def shortest_recording(config: Any) -> int:
    """Samples that the model needs at least: one frame, or as many as SEW squeezes into one."""
    field, stride = receptive_field(config)
    return field + (getattr(config, "squeeze_factor", 1) - 1) * stride


def _valid(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Which frames of `[n, frames, channels]` are real: bool `[n, frames]`."""
    return torch.arange(hidden.shape[1])[None, :] < lengths[:, None]


def _conv_length(lengths: Tensor, kernel: int, stride: int) -> Tensor:
    # Never below one frame, so that an item which is too short cannot upset its neighbours. A maximum, not a clip:
    # TensorRT's Clip has no INT64. What is divided is then never negative, and truncation equals floor.
    return torch.div(torch.maximum(lengths - kernel, torch.zeros_like(lengths)), stride, rounding_mode="trunc") + 1


def _normalize(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Zero mean and unit variance over the valid samples; zero beyond them."""
    valid = _valid(waveforms, lengths)
    count = lengths[:, None].to(waveforms.dtype)
    centred = torch.where(valid, waveforms - _sum_samples(waveforms) / count, 0.0)
    variance = _sum_samples(centred * centred) / count
    return centred / torch.sqrt(variance + _VARIANCE_FLOOR)


def _sum_samples(waveforms: Tensor) -> Tensor:
    """`[n, samples]` -> `[n, 1]`, block by block: one long float32 sum in ONNX Runtime loses four digits in 10 s."""
    return waveforms.reshape(waveforms.shape[0], -1, _BLOCK).sum(dim=2).sum(dim=1, keepdim=True)


def _masked_channel_norm(hidden: Tensor, lengths: Tensor, norm: nn.GroupNorm) -> Tensor:
    """A GroupNorm of one channel a group over `[n, channels, frames]`; mean and variance of the valid frames alone."""
    if norm.num_groups != norm.num_channels:
        raise ValueError(
            f"GroupNorm with {norm.num_groups} groups of {norm.num_channels} channels; needs one channel each"
        )
    valid = (torch.arange(hidden.shape[2])[None, :] < lengths[:, None])[:, None, :]
    count = lengths[:, None, None].to(hidden.dtype)
    mean = torch.where(valid, hidden, 0.0).sum(dim=2, keepdim=True) / count
    centred = torch.where(valid, hidden - mean, 0.0)
    variance = (centred * centred).sum(dim=2, keepdim=True) / count
    return centred * (torch.rsqrt(variance + norm.eps) * norm.weight[:, None]) + norm.bias[:, None]


def _adapt(adapter: Any, hidden: Tensor, lengths: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The strided convolutions between encoder and head; each pads by one frame, which must be zero."""
    if adapter.proj is not None:
        hidden = adapter.proj_layer_norm(adapter.proj(hidden))
    for layer in adapter.layers:
        hidden = torch.where(_valid(hidden, lengths)[:, :, None], hidden, 0.0)
        hidden = layer(hidden.transpose(1, 2)).transpose(1, 2)
        lengths = _conv_length(lengths, 1, stride)
    return hidden, lengths
