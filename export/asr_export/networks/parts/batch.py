"""A batch of recordings of different lengths in a graph: padding, masks, lengths, and sums that ignore padding."""

from typing import cast

import torch
from torch import Tensor

# Samples that are summed in one go; about the square root of a recording's length, so that both sums are short.
BLOCK = 512


def pad_ragged(audio: Tensor, audio_shape: Tensor) -> tuple[Tensor, Tensor]:
    """`[total]` and `[n, 1]` -> waveforms `[n, samples]`, zero beyond their end, and lengths int64 `[n]`.

    The width is that of the longest, rounded up to whole blocks.
    """
    lengths = audio_shape[:, 0].to(torch.int64)
    item = torch.arange(lengths.shape[0])
    # Where each item starts: a masked sum, because TensorRT has no CumSum on integers.
    starts = torch.where(item[None, :] < item[:, None], lengths[None, :], 0).sum(dim=1)
    width = torch.div(lengths.max() + BLOCK - 1, BLOCK, rounding_mode="trunc") * BLOCK
    position = torch.arange(cast(int, width))  # a tensor on purpose: the graph's length must stay dynamic
    if torch.compiler.is_exporting():
        # No recording is empty. torch.export cannot know, and asks whether what comes of the width is.
        torch._check(position.shape[0] >= BLOCK)  # type: ignore[no-untyped-call]
    valid = position[None, :] < lengths[:, None]
    source = torch.where(valid, starts[:, None] + position[None, :], 0)
    # Not audio[source]: the dynamo exporter makes that a GatherND.
    gathered = audio.index_select(0, source.flatten()).reshape(source.shape)
    return torch.where(valid, gathered, 0.0), lengths


def first(hidden: Tensor, counts: Tensor) -> Tensor:
    """Bool `[n, frames]`: the first `counts` `[n]` frames of each item of `[n, frames, …]`."""
    return torch.arange(hidden.shape[1])[None, :] < counts[:, None]


def conv_length(lengths: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
    """Frames that a convolution makes of `lengths` int64 `[n]`, `padding` being that of both sides together.

    Never below one frame, so that an item which is too short cannot upset its neighbours. A maximum, not a clip:
    TensorRT's Clip has no INT64. What is divided is then never negative, and truncation equals floor.
    """
    rest = torch.maximum(lengths + (padding - kernel), torch.zeros_like(lengths))
    return torch.div(rest, stride, rounding_mode="trunc") + 1


def sum_samples(waveforms: Tensor) -> Tensor:
    """`[n, samples]` -> `[n, 1]`, block by block: one long float32 sum in ONNX Runtime loses four digits in 10 s.

    The number of samples must be a multiple of `BLOCK`, as `pad_ragged` makes it.
    """
    return waveforms.reshape(waveforms.shape[0], -1, BLOCK).sum(dim=2).sum(dim=1, keepdim=True)
