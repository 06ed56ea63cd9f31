"""Parts of attention that several families share."""

from typing import Any

import torch
from torch import Tensor


def attention_mask(hidden: Tensor, valid: Tensor) -> Tensor:
    """Added to attention scores: 0 for real keys, the type's minimum for padding; `[n, 1, 1, frames]`.

    Not minus infinity: a softmax over nothing but that is NaN.
    """
    return torch.where(valid, 0.0, torch.finfo(hidden.dtype).min)[:, None, None, :]


def by_head(hidden: Tensor, heads: int) -> Tensor:
    """`[n, frames, channels]` -> `[n, heads, frames, channels / heads]`."""
    return hidden.reshape(hidden.shape[0], hidden.shape[1], heads, -1).transpose(1, 2)


def project(hidden: Tensor, heads: int, *projections: Any) -> list[Tensor]:
    """What each projection makes of `[n, frames, channels]`, by head."""
    return [by_head(projection(hidden), heads) for projection in projections]


def attend(scores: Tensor, values: Tensor) -> Tensor:
    """Softmax of `[n, heads, frames, frames]` over the keys, applied to values by head: `[n, frames, channels]`."""
    mixed = torch.softmax(scores, dim=-1) @ values
    return mixed.transpose(1, 2).reshape(mixed.shape[0], mixed.shape[2], -1)


def clamp(index: Tensor, low: int, high: int) -> Tensor:
    """Integers held from `low` to `high`: by comparison, because TensorRT's Clip has no INT64.

    Not by minimum and maximum: the dynamo exporter makes a Clip of them.
    """
    return torch.where(index < low, low, torch.where(index > high, high, index))


def by_key(scores: Tensor) -> Tensor:
    """Scores by distance -> scores by key, without an index of that size.

    Args:
        scores: `[n, heads, frames, 2 * frames - 1]`, the last dimension from the key `frames - 1` before the query to
            that as far behind it.

    Returns:
        `[n, heads, frames, frames]`: the "relative shift" of Transformer-XL (Dai et al. 2019), appendix B.
    """
    n, heads, frames, distances = scores.shape
    padded = torch.nn.functional.pad(scores, (1, 0)).reshape(n, heads, distances + 1, frames)
    return padded[:, :, 1:].reshape(n, heads, frames, distances)[..., :frames]
