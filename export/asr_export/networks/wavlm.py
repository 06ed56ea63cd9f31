"""WavLM's layers: attention with a relative position bias, which every layer gates by its hidden states.

transformers computes it through `torch.nn.functional.multi_head_attention_forward`, which traces into reshapes of a
fixed batch size. This code uses plain matrix products; the formulas are those of the WavLM paper (Chen et al. 2021,
section 3.1).
"""

from typing import Any

import torch
from torch import Tensor

from asr_export.networks.parts.attention import attend, attention_mask, by_head, project


def run_layers(layers: Any, hidden: Tensor, valid: Tensor) -> Tensor:
    """Run all layers over `[n, frames, channels]`; the first one holds the position bias that all of them gate."""
    frames = hidden.shape[1]
    bias = layers[0].attention.compute_bias(frames, frames)[None]  # [1, heads, frames, frames]
    mask = attention_mask(hidden, valid)
    for layer in layers:
        if _is_stable(layer):
            hidden = hidden + _attend(layer.attention, layer.layer_norm(hidden), bias, mask)
            hidden = hidden + layer.feed_forward(layer.final_layer_norm(hidden))
        else:
            hidden = layer.layer_norm(hidden + _attend(layer.attention, hidden, bias, mask))
            hidden = layer.final_layer_norm(hidden + layer.feed_forward(hidden))
    return hidden


def _is_stable(layer: Any) -> bool:
    return type(layer).__name__.endswith("StableLayerNorm")


def _attend(attention: Any, hidden: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    heads = attention.num_heads
    query, key, value = project(hidden, heads, attention.q_proj, attention.k_proj, attention.v_proj)
    scores = (query * attention.scaling) @ key.transpose(2, 3)
    scores = scores + _gate(attention, by_head(hidden, heads)) * bias + mask
    projected: Tensor = attention.out_proj(attend(scores, value))
    return projected


def _gate(attention: Any, hidden: Tensor) -> Tensor:
    """Return the gate of the position bias: `[n, heads, frames, channels / heads]` -> `[n, heads, frames, 1]`."""
    n, heads, frames, _ = hidden.shape
    projected = attention.gru_rel_pos_linear(hidden).reshape(n, heads, frames, 2, 4).sum(dim=-1)
    update, reset = torch.sigmoid(projected).chunk(2, dim=-1)
    gate: Tensor = update * (reset * attention.gru_rel_pos_const - 1.0) + 2.0
    return gate
