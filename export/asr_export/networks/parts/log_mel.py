"""Log-mel features over a batch, normalised for each mel bin over the valid frames."""

import torch
from torch import Tensor

from asr_export.networks.parts.batch import first


def log1p(values: Tensor) -> Tensor:
    """Return `log(1 + values)` with the digits that `1 + values` would lose; ONNX has no such operator.

    This is Kahan's method: the rounding of the sum cancels in the quotient.
    """
    sum_ = 1.0 + values
    rounded = sum_ - 1.0
    lost = rounded == 0.0
    return torch.where(lost, values, torch.log(sum_) * (values / torch.where(lost, 1.0, rounded)))


def centre(features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Remove each bin's mean over the valid frames, and return the result with each bin's variance (by count - 1).

    Args:
        features: `[n, frames, bins]`.
        counts: int64 `[n]`, valid frames of each item.

    Returns:
        Centred features `[n, frames, bins]`, zero beyond the valid frames, and variances `[n, 1, bins]`.
    """
    valid = first(features, counts)[:, :, None]
    count = counts[:, None, None].to(features.dtype)
    # Twice: a float32 sum over minutes rounds, but the mean that remains is small enough for an exact sum.
    for _ in range(2):
        mean = torch.where(valid, features, 0.0).sum(dim=1, keepdim=True) / count
        features = torch.where(valid, features - mean, 0.0)
    others = torch.maximum(count - 1, torch.ones_like(count))
    return features, (features * features).sum(dim=1, keepdim=True) / others
