"""The acoustic graph: a batch of waveforms -> CTC log-probs, exact whatever else is in the batch."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_export.batch import pad_ragged
from asr_export.geometry import Geometry

# A family's part. (waveforms float32 `[n, samples]`, zero beyond their end, samples being a multiple of
# `asr_export.batch.BLOCK`; lengths int64 `[n]`) -> logits `[n, frames, vocab]` and valid frames int64 `[n]`.
Network = nn.Module


class RaggedCtc(nn.Module):
    """One CTC checkpoint as a graph over a ragged batch.

    Args of `forward`:
        audio: float32 `[total]`, the waveforms of the batch one after the other.
        audio_shape: int32 `[n, 1]`, samples of each.

    Returns:
        log_probs: float32 `[n, frames, vocab]`, padded to the longest item or a frame or two beyond.
        frames: int32 `[n, 1]`, how many frames of each item are real.
    """

    # Name -> its dynamic dimensions.
    inputs: ClassVar = {"audio": {0: "total"}, "audio_shape": {0: "n"}}

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        for module in self.modules():
            if parametrize.is_parametrized(module):  # weight norm: one constant is cheaper than its computation
                parametrize.remove_parametrizations(module, "weight")

    def forward(self, audio: Tensor, audio_shape: Tensor) -> tuple[Tensor, Tensor]:
        return log_probs(self.network, *pad_ragged(audio, audio_shape))

    def example(self, geometry: Geometry) -> tuple[Tensor, Tensor]:
        """Inputs to trace with. Two items of different lengths: one alone lets the tracer bake the batch size in."""
        lengths = [geometry.shortest + 40 * geometry.stride, geometry.shortest + 25 * geometry.stride]
        audio = torch.randn(sum(lengths), generator=torch.Generator().manual_seed(0))
        return audio, torch.tensor(lengths, dtype=torch.int32)[:, None]


def log_probs(network: Any, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 `[n, frames, vocab]` and int32 `[n, 1]`."""
    logits, frames = network(waveforms, lengths)
    return torch.log_softmax(logits, dim=-1), frames.to(torch.int32)[:, None]
