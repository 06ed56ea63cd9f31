"""What encoders have in common: masks by `where`, positions by convolution, transformer layers."""

from typing import Any, cast

import torch
from torch import Tensor


def attention_mask(hidden: Tensor, valid: Tensor) -> Tensor:
    """Added to attention scores: 0 for real keys, the type's minimum for padding; `[n, 1, 1, frames]`.

    Not minus infinity: a softmax over nothing but that is NaN.
    """
    return torch.where(valid, 0.0, torch.finfo(hidden.dtype).min)[:, None, None, :]


def run_layers(layers: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """Layers that take a mask to add, as those of Wav2Vec2 and its relatives do."""
    mask = attention_mask(hidden, valid)
    for layer in layers:
        hidden = layer(hidden, attention_mask=mask)[0]
    return hidden


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
        normed = torch.where(real, embed.batch_norm(hidden), 0.0)
        hidden = embed.activation(embed.padding(embed.conv(normed)))
    else:
        return cast(Tensor, embed(hidden.transpose(1, 2)))
    return hidden.transpose(1, 2)
