"""The encoder of Wav2Vec2 and its relatives, exact under padding, and what the other families share with it."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from asr_export.networks.parts.attention import attention_mask

# (layers, hidden, valid) -> hidden: the transformer's layers over `[n, frames, channels]`, real frames `[n, frames]`.
RunLayers = Callable[[Any, Tensor, Tensor], Tensor]


def run_layers(layers: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """Layers that take a mask to add."""
    mask = attention_mask(hidden, valid)
    for layer in layers:
        hidden = layer(hidden, attention_mask=mask)[0]
    return hidden


def encode(base: Any, features: Tensor, valid: Tensor, run_layers: RunLayers = run_layers) -> Tensor:
    """transformers' projection and encoder, less dropout and layer drop, with masks by `where`.

    Args:
        base: the model without its head, as transformers' `Wav2Vec2Model`.
        features: `[n, frames, channels]`, of the convolutions.
        valid: bool `[n, frames]`, which frames are real.
        run_layers: for a family whose layers take other arguments.

    Returns:
        Hidden states `[n, frames, hidden]`; those of padding mean nothing.
    """
    hidden = project(base, features, valid)
    encoder = base.encoder
    hidden = hidden + positions(encoder.pos_conv_embed, hidden, valid)
    # Data2Vec knows only the first kind.
    if not getattr(base.config, "do_stable_layer_norm", False):
        return run_layers(encoder.layers, encoder.layer_norm(hidden), valid)
    return cast(Tensor, encoder.layer_norm(run_layers(encoder.layers, hidden, valid)))


def project(base: Any, features: Tensor, valid: Tensor) -> Tensor:
    """The features in the width of the encoder, zero where there is padding."""
    projected = base.feature_projection(features)
    hidden = projected[0] if isinstance(projected, tuple) else projected
    return torch.where(valid[:, :, None], hidden, 0.0)


def positions(embed: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """The convolutional position embedding of `[n, frames, channels]`; what pads an item is zero, as it is alone.

    A batch norm before the convolution (HuBERT) and a stack of convolutions (Data2Vec) make something of the padding
    that the next convolution must not hear.
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
    """A trained `BatchNorm1d` over `[n, channels, frames]`: by then it is a scale and a shift of each channel.

    PyTorch's own asks whether the batch is empty, which torch.export cannot answer for lengths that are data.
    """
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return cast(Tensor, hidden * scale[:, None] + (norm.bias - norm.running_mean * scale)[:, None])
