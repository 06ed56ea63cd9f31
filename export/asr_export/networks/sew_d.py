"""SEW-D's layers: DeBERTa's disentangled attention (He et al. 2021, section 3.1) over SEW's squeezed frames.

transformers' own code uses a custom autograd function and repeats the position projections for every item.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from asr_export.networks import sew
from asr_export.networks.parts.attention import attend, attention_mask, by_head, clamp, project


def _run(encoder: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """Run the DeBERTa encoder that is inside SEW-D's encoder over `[n, frames, channels]`."""
    stack = encoder.encoder
    mask = attention_mask(hidden, valid)
    relative = _relative_positions(stack, hidden.shape[1])
    embeddings = stack.get_rel_embedding()
    for layer in stack.layer:
        attended = _attend(layer.attention.self, hidden, mask, relative, embeddings)
        attended = layer.attention.output(attended, hidden)
        hidden = layer.output(layer.intermediate(attended), attended)
    return hidden


encode = partial(sew.encode, run=_run)


def _relative_positions(stack: Any, frames: int) -> Tensor | None:
    """Return the bucketed distances from query to key, int64 `[frames, frames]`; None if positions are absolute."""
    if not stack.relative_attention:
        return None
    position = torch.arange(frames)
    distance = position[:, None] - position[None, :]
    if stack.position_buckets <= 0 or stack.max_relative_positions <= 0:
        return distance
    near = stack.position_buckets // 2
    size = torch.where(distance.abs() < near, near - 1, distance.abs())
    log_base = math.log((stack.max_relative_positions - 1) / near)
    far = torch.ceil(torch.log(size / near) / log_base * (near - 1)) + near
    return torch.where(size <= near, distance, (far * torch.sign(distance)).to(torch.int64))


def _attend(attention: Any, hidden: Tensor, mask: Tensor, relative: Tensor | None, embeddings: Tensor | None) -> Tensor:
    heads = attention.num_attention_heads
    query, key, value = project(hidden, heads, attention.query_proj, attention.key_proj, attention.value_proj)
    kinds = [kind for kind in ("c2p", "p2c") if kind in attention.pos_att_type]
    scale = math.sqrt(query.shape[-1] * (1 + len(kinds)))
    scores = query @ key.transpose(2, 3) / scale
    if relative is not None and embeddings is not None:
        span = attention.pos_ebd_size
        embeddings = embeddings[None, : 2 * span]
        if "c2p" in kinds:
            of_key = attention.key_proj if attention.share_att_key else attention.pos_key_proj
            scores = scores + _lookup(query, by_head(of_key(embeddings), heads), relative, span) / scale
        if "p2c" in kinds:
            of_query = attention.query_proj if attention.share_att_key else attention.pos_query_proj
            by_key = _lookup(key, by_head(of_query(embeddings), heads), -relative, span)
            scores = scores + by_key.transpose(2, 3) / scale
    return attend(scores + mask, value)


def _lookup(content: Tensor, position: Tensor, relative: Tensor, span: int) -> Tensor:
    """Return scores `[n, heads, frames, frames]`.

    `content` is `[n, heads, frames, d]`, `position` is `[1, heads, 2 span, d]`.
    """
    table = content @ position.transpose(2, 3)
    index = clamp(relative + span, 0, 2 * span - 1)
    return torch.gather(table, 3, index.expand(table.shape[0], table.shape[1], -1, -1))
