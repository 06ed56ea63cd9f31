"""The acoustic graphs: a batch of waveforms -> CTC log-probs; an item's output does not depend on its neighbours."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from asr_export.networks.parts.batch import pad_dense, pad_ragged
from asr_export.networks.parts.geometry import Geometry

# A family's part of the graph: (waveforms, lengths) -> (logits, frames).
# waveforms: float32 `[n, samples]`, zero beyond their end; samples is a multiple of `batch.BLOCK`.
# lengths: int64 `[n]`. logits: `[n, frames, vocab]`. frames: int64 `[n]`, the number of valid frames.
Network = nn.Module


class CtcGraph(nn.Module):
    """One CTC checkpoint as a graph; the subclasses define how it takes a batch.

    Returns (of `forward`):
        log_probs: float32 `[n, frames, vocab]`, padded to the longest item or beyond.
        frames: int32 `[n, 1]`, the number of valid frames of each item.
    """

    # Name -> its dynamic dimensions.
    inputs: ClassVar[dict[str, dict[int, str]]]
    # Networks that can be written as products of frames, rather than as convolutions and norms over time, are.
    as_products: ClassVar[bool] = False

    def __init__(self, network: Any) -> None:
        """Wrap a `Network`."""
        super().__init__()
        self.network = network
        network.as_products = self.as_products
        for module in self.modules():
            if parametrize.is_parametrized(module):  # weight norm: a constant is cheaper than computing it in each run
                parametrize.remove_parametrizations(module, "weight")

    def example(self, geometry: Geometry) -> tuple[Tensor, ...]:
        """Return the inputs for the tracer: two items of different lengths, since with one it fixes the batch size."""
        raise NotImplementedError


class RaggedCtc(CtcGraph):
    """A graph that takes a ragged batch and pads it.

    Args of `forward`:
        audio: float32 `[total]`, the waveforms of the batch one after the other.
        audio_shape: int32 `[n, 1]`, number of samples of each waveform.
    """

    inputs: ClassVar = {"audio": {0: "total"}, "audio_shape": {0: "n"}}

    def forward(self, audio: Tensor, audio_shape: Tensor) -> tuple[Tensor, Tensor]:
        return log_probs(self.network, *pad_ragged(audio, audio_shape))

    def example(self, geometry: Geometry) -> tuple[Tensor, Tensor]:
        lengths = _example_lengths(geometry)
        return _noise(sum(lengths)), torch.tensor(lengths, dtype=torch.int32)[:, None]


class ProductsCtc(RaggedCtc):
    """A RaggedCtc for int8, which is quick in products alone. It calculates in float64 too, which TensorRT has not."""

    as_products: ClassVar = True


class SizedRaggedCtc(CtcGraph):
    """A graph that takes a ragged batch, and its width as a shape: no shape depends on a value, as TensorRT requires.

    Args of `forward`:
        audio: float32 `[total]`, the waveforms of the batch one after the other.
        audio_shape: int32 `[n, 1]`, number of samples of each waveform.
        longest: float32 `[samples]`, as long as the longest waveform, or longer; its values have no effect.
    """

    inputs: ClassVar = {"audio": {0: "total"}, "audio_shape": {0: "n"}, "longest": {0: "samples"}}

    def forward(self, audio: Tensor, audio_shape: Tensor, longest: Tensor) -> tuple[Tensor, Tensor]:
        return log_probs(self.network, *pad_ragged(audio, audio_shape, longest.shape[0]))

    def example(self, geometry: Geometry) -> tuple[Tensor, ...]:
        lengths = _example_lengths(geometry)
        return _noise(sum(lengths)), torch.tensor(lengths, dtype=torch.int32)[:, None], torch.zeros(max(lengths))


class DenseCtc(CtcGraph):
    """A graph that takes a padded batch: no shape in it depends on a value, as TensorRT requires.

    Args of `forward`:
        audio: float32 `[n, time]`. Values beyond an item's end have no effect.
        lengths: int32 `[n, 1]`, number of samples of each item.
    """

    inputs: ClassVar = {"audio": {0: "n", 1: "time"}, "lengths": {0: "n"}}

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        samples = lengths[:, 0].to(torch.int64)
        return log_probs(self.network, pad_dense(audio, samples), samples)

    def example(self, geometry: Geometry) -> tuple[Tensor, Tensor]:
        lengths = _example_lengths(geometry)
        audio = _noise(len(lengths) * max(lengths)).reshape(len(lengths), -1)
        return audio, torch.tensor(lengths, dtype=torch.int32)[:, None]


def log_probs(network: Any, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-probs, float32 `[n, frames, vocab]`, and the number of valid frames, int32 `[n, 1]`."""
    logits, frames = network(waveforms, lengths)
    return torch.log_softmax(logits, dim=-1), frames.to(torch.int32)[:, None]


def _example_lengths(geometry: Geometry) -> list[int]:
    return [geometry.shortest + 40 * geometry.stride, geometry.shortest + 25 * geometry.stride]


def _noise(samples: int) -> Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(0))
