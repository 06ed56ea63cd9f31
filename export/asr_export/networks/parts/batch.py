"""A batch of recordings of different lengths in a graph: padding, masks, lengths, and sums that ignore padding."""

from typing import cast

import torch
from torch import Tensor

# Number of samples in one partial sum: about the square root of a recording's length, so that both sums are short.
BLOCK = 512


def whole_blocks(samples: Tensor | int) -> Tensor:
    """Return a number of samples, rounded up to whole blocks: a tensor where the tracer has one for it."""
    if isinstance(samples, Tensor):
        return torch.div(samples + BLOCK - 1, BLOCK, rounding_mode="trunc") * BLOCK
    # torch.export has a symbol in the integer's place. ONNX's Div truncates, so the dividend must not be negative.
    return cast(Tensor, (samples + BLOCK - 1) // BLOCK * BLOCK)


def pad_ragged(audio: Tensor, audio_shape: Tensor, longest: Tensor | int | None = None) -> tuple[Tensor, Tensor]:
    """Pad `[total]` and `[n, 1]` to waveforms `[n, samples]`, zero beyond their end, and lengths int64 `[n]`.

    The width is that of the longest item, rounded up to whole blocks. With `longest`, the number of its samples comes
    from there, and no longer from the values of `audio_shape`.
    """
    lengths = audio_shape[:, 0].to(torch.int64)
    item = torch.arange(lengths.shape[0])
    # The start of each item, by a masked sum, because TensorRT has no CumSum on integers.
    starts = torch.where(item[None, :] < item[:, None], lengths[None, :], 0).sum(dim=1)
    width = whole_blocks(lengths.max() if longest is None else longest)
    position = torch.arange(cast(int, width))  # a tensor on purpose: the graph's length must stay dynamic
    if torch.compiler.is_exporting():
        # No recording is empty. torch.export cannot know that, and asks whether the tensors of this width are empty.
        torch._check(position.shape[0] >= BLOCK)  # type: ignore[no-untyped-call]
    valid = position[None, :] < lengths[:, None]
    source = torch.where(valid, starts[:, None] + position[None, :], 0)
    # Not audio[source]: the dynamo exporter turns that into a GatherND.
    gathered = audio.index_select(0, source.flatten()).reshape(source.shape)
    return torch.where(valid, gathered, 0.0), lengths


def pad_dense(audio: Tensor, lengths: Tensor) -> Tensor:
    """Pad `[n, time]` to waveforms `[n, samples]`, zero beyond their `lengths` `[n]`; samples are whole blocks."""
    time = audio.shape[1]
    position = torch.arange(cast(int, whole_blocks(time)))
    # By a gather, as in `pad_ragged`: the tracer writes a Pad as a dozen nodes. What lies beyond an item is masked.
    padded = audio.index_select(1, torch.where(position < time, position, 0))
    return torch.where(first(padded, lengths), padded, 0.0)


def first(hidden: Tensor, counts: Tensor) -> Tensor:
    """Return bool `[n, frames]`, True for the first `counts` `[n]` frames of each item of `[n, frames, …]`."""
    return torch.arange(hidden.shape[1])[None, :] < counts[:, None]


def conv_length(lengths: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
    """Return the number of frames that a convolution makes of `lengths`, both int64 `[n]`.

    `padding` counts both sides together. The result is never below one frame, so that an item which is too short
    does not disturb its neighbours. The code uses a maximum, because TensorRT's Clip has no INT64. The dividend is
    then never negative, so truncation equals floor.
    """
    rest = torch.maximum(lengths + (padding - kernel), torch.zeros_like(lengths))
    return torch.div(rest, stride, rounding_mode="trunc") + 1


def sum_samples(waveforms: Tensor) -> Tensor:
    """Sum `[n, samples]` to `[n, 1]`, block by block: one long float32 sum in ONNX Runtime loses four digits in 10 s.

    The number of samples must be a multiple of `BLOCK`, as `pad_ragged` and `pad_dense` make it.
    """
    return waveforms.reshape(waveforms.shape[0], -1, BLOCK).sum(dim=2).sum(dim=1, keepdim=True)
