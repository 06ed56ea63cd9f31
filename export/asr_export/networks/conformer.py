"""Wav2Vec2-Conformer's encoder: attention with relative or rotary positions, and a depthwise convolution.

Two things differ from transformers' encoder. The depthwise convolution sees zeros in place of padding, as it does for
an item alone. The graph computes the positions: transformers keeps a table of them, and a trace would fix its size.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor

from asr_export.networks.encoder import batch_norm, project
from asr_export.networks.parts.attention import attention_mask


def encode(base: Any, features: Tensor, valid: Tensor) -> Tensor:
    """Run the encoder as `asr_export.networks.encoder.encode` does, for a family without convolutional positions."""
    hidden = project(base, features, valid)
    mask = attention_mask(hidden, valid)
    embedded = positions(base.encoder, hidden)
    for layer in base.encoder.layers:
        hidden = 0.5 * layer.ffn1(layer.ffn1_layer_norm(hidden)) + hidden
        attended, _ = layer.self_attn(
            layer.self_attn_layer_norm(hidden), attention_mask=mask, relative_position_embeddings=embedded
        )
        hidden = hidden + attended
        hidden = hidden + _convolve(layer.conv_module, hidden, valid)
        hidden = layer.final_layer_norm(0.5 * layer.ffn2(layer.ffn2_layer_norm(hidden)) + hidden)
    return cast(Tensor, base.encoder.layer_norm(hidden))


def _convolve(module: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    gated = module.glu(module.pointwise_conv1(module.layer_norm(hidden).transpose(1, 2)))
    heard = module.depthwise_conv(torch.where(valid[:, None, :], gated, 0.0))
    mixed = module.pointwise_conv2(module.activation(batch_norm(module.batch_norm, heard)))
    return cast(Tensor, mixed.transpose(1, 2))


def positions(encoder: Any, hidden: Tensor) -> Tensor | None:
    """Return the positions that the attention of a Conformer encoder in transformers takes; None if it has none."""
    kind = encoder.config.position_embeddings_type
    if kind == "relative":
        return relative_positions(hidden.shape[1], hidden.shape[2])
    if kind == "rotary":
        return rotary_positions(hidden.shape[1], encoder.embed_positions.inv_freq)[:, :, None, None, :]
    return None


def relative_positions(frames: int, channels: int) -> Tensor:
    """Return sines and cosines of the distances `frames - 1` … `1 - frames`: `[1, 2 * frames - 1, channels]`.

    Transformer-XL (Dai et al. 2019), section 3.3; sines in the even channels, cosines in the odd ones.
    """
    distance = frames - 1 - torch.arange(2 * frames - 1)
    frequency = torch.exp(torch.arange(0, channels, 2) * -(math.log(10000.0) / channels))
    angle = distance[:, None].to(torch.float32) * frequency
    return torch.stack([torch.sin(angle), torch.cos(angle)], dim=2).reshape(1, -1, channels)


def rotary_positions(frames: int, frequency: Tensor) -> Tensor:
    """Return cosines and sines of each frame's angles: `[2, frames, channels]`.

    `frequency` is `[channels / 2]`.

    RoFormer (Su et al. 2021), section 3.2.2.
    """
    angle = torch.arange(frames)[:, None].to(torch.float32) * frequency
    angle = torch.cat([angle, angle], dim=1)
    return torch.stack([torch.cos(angle), torch.sin(angle)])
