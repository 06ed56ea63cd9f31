"""The first convolution of Wav2Vec2's base kinds with its norm over time, in two forms.

The norm is a GroupNorm of one channel a group. Its statistics are those of an item's valid frames, so that padding has
no part in them. Both functions take:

    conv: a Conv1d of one channel, without padding.
    norm: the GroupNorm behind it.
    waveforms: float32 `[n, 1, samples]`.
    lengths: int64 `[n]`, the number of valid frames of each item.

They return float32 `[n, channels, frames]`.
"""

import torch
from torch import Tensor, nn


def masked(conv: nn.Conv1d, norm: nn.GroupNorm, waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Convolve, and normalise the result."""
    _require_channels(norm)
    hidden = conv(waveforms)
    valid = (torch.arange(hidden.shape[2])[None, :] < lengths[:, None])[:, None, :]
    count = lengths[:, None, None].to(hidden.dtype)
    mean = torch.where(valid, hidden, 0.0).sum(dim=2, keepdim=True) / count
    centred = torch.where(valid, hidden - mean, 0.0)
    variance = (centred * centred).sum(dim=2, keepdim=True) / count
    return centred * (torch.rsqrt(variance + norm.eps) * norm.weight[:, None]) + norm.bias[:, None]


def as_product(conv: nn.Conv1d, norm: nn.GroupNorm, waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Multiply windows of the waveform with weights that hold the norm, one matrix an item.

    A channel's mean and variance follow from those of a window's samples: they are `w m` and `w C w`, for the channel's
    weights `w`, the mean window `m` and its covariance `C`. So nothing goes through all frames of all channels but the
    product. The statistics need float64: speech has a millionth of its power in the channels of high pitch.
    """
    _require_channels(norm)
    size, stride, samples = conv.kernel_size[0], conv.stride[0], waveforms.shape[2]
    taps = [waveforms[:, 0, tap : samples - (size - 1 - tap) : stride] for tap in range(size)]
    taps.append(torch.ones_like(taps[0]))  # brings the bias
    windows = torch.stack(taps, dim=2)
    valid = (torch.arange(windows.shape[1])[None, :] < lengths[:, None])[:, :, None]
    heard = torch.where(valid, windows, 0.0).to(torch.float64)
    # Not `windows` transposed: ONNX Runtime 1.19 fuses that with the product, and then has no kernel for float64.
    moments = torch.stack(taps, dim=1).to(torch.float64) @ heard / lengths[:, None, None].to(torch.float64)
    mean = moments[:, size:, :size]
    covariance = moments[:, :size, :size] - moments[:, :size, size:] @ mean
    weight = conv.weight[:, 0].T.to(torch.float64)
    variance = ((covariance @ weight) * weight).sum(dim=1, keepdim=True)
    scaled = weight * (torch.rsqrt(torch.relu(variance) + norm.eps) * norm.weight.to(torch.float64))
    bias = norm.bias.to(torch.float64) - mean @ scaled  # the norm takes the convolution's own bias away
    return (windows @ torch.cat([scaled, bias], dim=1).to(windows.dtype)).transpose(1, 2)


def _require_channels(norm: nn.GroupNorm) -> None:
    if norm.num_groups != norm.num_channels:
        raise ValueError(
            f"GroupNorm with {norm.num_groups} groups of {norm.num_channels} channels; needs one channel each"
        )
