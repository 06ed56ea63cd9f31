"""The encoder of Wav2Vec2 and its relatives, exact under padding, and the parts that other families share with it."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from asr_export.networks.parts.attention import attention_mask

# (layers, hidden, valid) -> hidden: runs the transformer's layers. hidden is `[n, frames, channels]`; valid is
# `[n, frames]` and marks the frames that are not padding.
RunLayers = Callable[[Any, Tensor, Tensor], Tensor]


def run_layers(layers: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """Run layers that take an additive mask."""
    mask = attention_mask(hidden, valid)
    for layer in layers:
        hidden = layer(hidden, attention_mask=mask)
    return hidden


def encode(base: Any, features: Tensor, valid: Tensor, run_layers: RunLayers = run_layers) -> Tensor:
    """Run transformers' projection and encoder without dropout and layer drop, with masks made by `where`.

    Args:
        base: the model without its head, such as transformers' `Wav2Vec2Model`.
        features: `[n, frames, channels]`, from the convolutions.
        valid: bool `[n, frames]`, False for padding.
        run_layers: another function, for a family whose layers take other arguments.

    Returns:
        Hidden states `[n, frames, hidden]`; the values of padding are undefined.
    """
    hidden = project(base, features, valid)
    encoder = base.encoder
    hidden = hidden + positions(encoder.pos_conv_embed, hidden, valid)
    # Data2Vec's config lacks the setting: its layers are always of the first kind.
    if not getattr(base.config, "do_stable_layer_norm", False):
        return run_layers(encoder.layers, encoder.layer_norm(hidden), valid)
    return cast(Tensor, encoder.layer_norm(run_layers(encoder.layers, hidden, valid)))


def project(base: Any, features: Tensor, valid: Tensor) -> Tensor:
    """Project the features to the width of the encoder, and set padding to zero."""
    projected = base.feature_projection(features)
    hidden = projected[0] if isinstance(projected, tuple) else projected
    return torch.where(valid[:, :, None], hidden, 0.0)


def positions(embed: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """Return the convolutional position embedding of `[n, frames, channels]`, with zeros in place of padding.

    A batch norm before the convolution (HuBERT) and a stack of convolutions (Data2Vec) turn padding into other values,
    which the next convolution must not see.
    """
    hidden, real = hidden.transpose(1, 2), valid[:, None, :]
    if hasattr(embed, "layers"):
        for layer in embed.layers:
            hidden = layer(torch.where(real, hidden, 0.0))
    elif getattr(embed, "batch_norm", None) is not None:
        normed = torch.where(real, batch_norm(embed.batch_norm, hidden), 0.0)
        hidden = embed.activation(embed.padding(embed.conv(normed)))
    else:
        return cast(Tensor, embed(hidden.transpose(1, 2)))
    return hidden.transpose(1, 2)


def batch_norm(norm: Any, hidden: Tensor) -> Tensor:
    """Apply a trained `BatchNorm1d` to `[n, channels, frames]`: after training it scales and shifts each channel.

    PyTorch's own code asks whether the batch is empty, which torch.export cannot answer for lengths that are data.
    """
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return cast(Tensor, hidden * scale[:, None] + (norm.bias - norm.running_mean * scale)[:, None])
