"""Parts of attention that several families share."""

from typing import Any

import torch
from torch import Tensor


def attention_mask(hidden: Tensor, valid: Tensor) -> Tensor:
    """Return the mask to add to attention scores, `[n, 1, 1, frames]`: 0 for valid keys, the type's minimum elsewhere.

    It is not minus infinity, because a softmax over nothing else is NaN.
    """
    return torch.where(valid, 0.0, torch.finfo(hidden.dtype).min)[:, None, None, :]


def by_head(hidden: Tensor, heads: int) -> Tensor:
    """Split channels into heads: `[n, frames, channels]` -> `[n, heads, frames, channels / heads]`."""
    return hidden.reshape(hidden.shape[0], hidden.shape[1], heads, -1).transpose(1, 2)


def project(hidden: Tensor, heads: int, *projections: Any) -> list[Tensor]:
    """Apply each projection to `[n, frames, channels]`, and return the results by head."""
    return [by_head(projection(hidden), heads) for projection in projections]


def attend(scores: Tensor, values: Tensor) -> Tensor:
    """Apply the softmax of scores `[n, heads, frames, frames]` to values by head; return `[n, frames, channels]`."""
    mixed = torch.softmax(scores, dim=-1) @ values
    return mixed.transpose(1, 2).reshape(mixed.shape[0], mixed.shape[2], -1)


def clamp(index: Tensor, low: int, high: int) -> Tensor:
    """Limit integers to `low` … `high` by comparison, because TensorRT's Clip has no INT64.

    Minimum and maximum do not help: the dynamo exporter turns them into a Clip.
    """
    return torch.where(index < low, low, torch.where(index > high, high, index))


def by_key(scores: Tensor) -> Tensor:
    """Turn scores by distance into scores by key, without an index of that size.

    Args:
        scores: `[n, heads, frames, 2 * frames - 1]`; the last dimension goes from the key `frames - 1` before the query
            to the key `frames - 1` after it.

    Returns:
        `[n, heads, frames, frames]`: the "relative shift" of Transformer-XL (Dai et al. 2019), appendix B.
    """
    n, heads, frames, distances = scores.shape
    padded = torch.nn.functional.pad(scores, (1, 0)).reshape(n, heads, distances + 1, frames)
    return padded[:, :, 1:].reshape(n, heads, frames, distances)[..., :frames]
