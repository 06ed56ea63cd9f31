"""Log-mel features over a batch, normalised for each mel bin over the valid frames."""

import torch
from torch import Tensor

from asr_export.networks.parts.batch import first


def log1p(values: Tensor) -> Tensor:
    """`log(1 + values)` without the digits that `1 + values` loses; ONNX has no such operator.

    Kahan's way: the sum's rounding cancels in the quotient.
    """
    sum_ = 1.0 + values
    rounded = sum_ - 1.0
    lost = rounded == 0.0
    return torch.where(lost, values, torch.log(sum_) * (values / torch.where(lost, 1.0, rounded)))


def centre(features: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Each bin's mean over the valid frames removed, zero beyond them, and its variance (of a sample: by count - 1).

    Args:
        features: `[n, frames, bins]`.
        counts: int64 `[n]`, valid frames of each item.

    Returns:
        `[n, frames, bins]` and `[n, 1, bins]`.
    """
    valid = first(features, counts)[:, :, None]
    count = counts[:, None, None].to(features.dtype)
    # Twice: a float32 sum over minutes rounds, and what it left is small enough to be summed without.
    for _ in range(2):
        mean = torch.where(valid, features, 0.0).sum(dim=1, keepdim=True) / count
        features = torch.where(valid, features - mean, 0.0)
    others = torch.maximum(count - 1, torch.ones_like(count))
    return features, (features * features).sum(dim=1, keepdim=True) / others
