"""SEW's encoder, and the part of SEW-D's encoder around its layers (Wu et al. 2021).

It squeezes two frames into one before the layers, and doubles them again after the layers. It drops an odd last frame:
transformers pads the output with zeros there. In a batch, this must happen at the end of each item, not only at the end
of the longest.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from asr_export.networks.encoder import run_layers
from asr_export.networks.parts.batch import first


def _run(encoder: Any, squeezed: Tensor, heard: Tensor) -> Tensor:
    return run_layers(encoder.layers, encoder.layer_norm(squeezed), heard)


def encode(base: Any, features: Tensor, valid: Tensor, run: Callable[[Any, Tensor, Tensor], Tensor] = _run) -> Tensor:
    """Run the encoder as `asr_export.networks.encoder.encode` does.

    `run` takes the encoder, `[n, squeezed frames, channels]`, and a mask that marks the valid ones.
    """
    encoder, factor = base.encoder, base.config.squeeze_factor
    hidden = base.layer_norm(features)
    if base.project_features:
        hidden = base.feature_projection(hidden)
    hidden = torch.where(valid[:, :, None], hidden, 0.0)
    squeezed = _squeeze(encoder, hidden, factor)
    whole = torch.div(valid.sum(dim=1), factor, rounding_mode="trunc")
    # At least one frame, so that an item which is too short does not cause a softmax over no keys.
    heard = first(squeezed, torch.maximum(whole, torch.ones_like(whole)))
    doubled = encoder.upsample(run(encoder, squeezed, heard))
    doubled = pad(doubled, (0, 0, 0, hidden.shape[1] - doubled.shape[1]))
    return torch.where(first(doubled, whole * factor)[:, :, None], doubled, 0.0)


def _squeeze(encoder: Any, hidden: Tensor, factor: int) -> Tensor:
    """Turn `[n, frames, channels]` into `[n, frames // factor, channels]`: means of neighbours plus their positions.

    The mean goes over a new dimension, because TensorRT pools in two dimensions or more.
    """
    n, frames, channels = hidden.shape
    whole = frames // factor
    pooled = hidden[:, : whole * factor].reshape(n, whole, factor, channels).mean(dim=2)
    embedded = encoder.pos_conv_embed(hidden.transpose(1, 2)).transpose(1, 2)
    return cast(Tensor, pooled + embedded[:, :whole])
