"""Wav2Vec2 and its relatives: normalised waveform -> strided convolutions -> an encoder -> logits.

transformers pads a batch and lets the padding leak: into the GroupNorm of the first convolution, through the
positional convolutions, and into the strided convolutions of an adapter. Here each of these sees only the valid
frames, so an item's output does not depend on its neighbours.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from asr_export.networks import encoder
from asr_export.networks.parts.batch import conv_length, first, sum_samples
from asr_export.networks.parts.channel_norm import as_product, masked
from asr_export.networks.parts.geometry import Geometry

# (base, features, valid) -> hidden, as in `asr_export.networks.encoder.encode`.
Encode = Callable[[Any, Tensor, Tensor], Tensor]
# Added to the variance by transformers' Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm.
_VARIANCE_FLOOR = 1e-7


class WaveformNetwork(nn.Module):
    """A checkpoint whose features are learnt convolutions; an `asr_export.networks.acoustic.Network`.

    `as_products` is that of `asr_export.networks.acoustic.CtcGraph`, which sets it.

    Args:
        model: transformers' …ForCTC.
        feature_extractor: its Wav2Vec2FeatureExtractor.
        base: name of the model's attribute that holds the encoder.
        encode: runs the family's encoder.
    """

    def __init__(self, model: Any, feature_extractor: Any, base: str, encode: Encode = encoder.encode) -> None:
        super().__init__()
        self.base = getattr(model, base)
        self.lm_head = model.lm_head
        self.config = model.config
        self.encode = encode
        self.normalize = feature_extractor.do_normalize
        self.as_products = False

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and valid frames, as `asr_export.networks.acoustic.Network` says."""
        if self.normalize:
            waveforms = normalize(waveforms, lengths)
        features, lengths = self._extract_features(waveforms, lengths)
        hidden = self.encode(self.base, features, first(features, lengths))
        adapter = getattr(self.base, "adapter", None)
        if adapter is not None:
            hidden, lengths = _adapt(adapter, hidden, lengths, self.config.adapter_stride)
        return self.lm_head(hidden), lengths

    def _extract_features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn `[n, samples]` into `[n, frames, channels]`; return it with the number of valid frames `[n]`."""
        hidden = waveforms[:, None]
        for layer in self.base.feature_extractor.conv_layers:
            lengths = conv_length(lengths, layer.conv.kernel_size[0], layer.conv.stride[0])
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                normed = as_product if self.as_products else masked
                hidden = layer.activation(normed(layer.conv, norm, hidden, lengths))
            else:
                hidden = layer(hidden)
        return hidden.transpose(1, 2), lengths


def inputs(features: Any) -> dict[str, Tensor]:
    """Return the inputs of transformers' own model for one recording: without a mask, since there is no padding."""
    return {"input_values": features["input_values"]}


def geometry(config: Any, feature_extractor: Any) -> Geometry:
    """Return the geometry of the strided convolutions, SEW's squeezing and an adapter."""
    field, stride = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * stride
        stride *= step
    # SEW needs at least the number of frames that it squeezes into one.
    shortest = field + (getattr(config, "squeeze_factor", 1) - 1) * stride
    if getattr(config, "add_adapter", False):
        stride *= config.adapter_stride**config.num_adapter_layers
    return Geometry(field, stride, shortest)


def normalize(waveforms: Tensor, lengths: Tensor, floor: float = _VARIANCE_FLOOR) -> Tensor:
    """Normalise the valid samples to zero mean and unit variance; the samples beyond them become zero.

    `floor` is added to the variance.
    """
    valid = first(waveforms, lengths)
    count = lengths[:, None].to(waveforms.dtype)
    centred = torch.where(valid, waveforms - sum_samples(waveforms) / count, 0.0)
    variance = sum_samples(centred * centred) / count
    return centred / torch.sqrt(variance + floor)


def _adapt(adapter: Any, hidden: Tensor, lengths: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Run the strided convolutions between encoder and head; each pads by one frame, which must be zero."""
    if adapter.proj is not None:
        hidden = adapter.proj_layer_norm(adapter.proj(hidden))
    for layer in adapter.layers:
        hidden = torch.where(first(hidden, lengths)[:, :, None], hidden, 0.0)
        hidden = layer(hidden.transpose(1, 2)).transpose(1, 2)
        lengths = conv_length(lengths, 1, stride)
    return hidden, lengths
