"""Power spectra and log-mel features inside a graph, as exact in float32 as a float64 FFT rounded to float32.

TensorRT has neither an STFT nor float64, and a plain float32 DFT is not good enough. Its rounding noise lies about
120 dB below the loudest bin; a telephone recording resampled to 16 kHz holds even less than that above 4 kHz, and
the logarithm shows the noise (features off by 0.1 and more). So the code splits the product of frames and DFT matrix
into slices of few bits, whose products and sums float32 holds without rounding (Ozaki, Ogita, Oishi & Rump 2012,
"Error-free transformations of matrix multiplication"): six small matrix products instead of one. The slices fit TF32,
too.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# Bits of a slice of a frame and of the matrix. Their sum plus the base-2 logarithm of the frame's length (9, for up to
# 512 samples) is 24, the bits of a float32.
_FRAME_BITS = 8
_MATRIX_BITS = 7
# Exponents of the powers of two to compare a frame's peak with: from below any sound to above `MAX_AMPLITUDE` in
# 16-bit units.
_EXPONENTS = (-60, 46)


class PowerSpectrum(nn.Module):
    """A layer that turns a waveform's frames into the squared magnitudes of a linear transform of each.

    Args:
        transform: complex128 `[bins, frame_length]`, the matrix for one frame's samples: the DFT and every linear step
            before it (window, pre-emphasis within the frame, removal of its mean).
        hop: samples between two frames.
    """

    def __init__(self, transform: NDArray[np.complex128], hop: int) -> None:
        super().__init__()
        rows = np.concatenate([transform.real, transform.imag])
        self.bins, self.frame_length = transform.shape
        self.hop = hop
        # The exact power of two above every entry, because the slices are multiples of it.
        scale = 2.0 ** np.ceil(np.log2(np.abs(rows).max()))
        high, middle, low = _slices(rows.T / scale)
        self.scale = float(scale)
        # Columns for the frame's first slice, its second, and its rest.
        self.of_high: Tensor
        self.of_middle: Tensor
        self.of_low: Tensor
        self.powers: Tensor
        self.register_buffer("of_high", _float32(np.concatenate([high, middle, low], axis=1)))
        self.register_buffer("of_middle", _float32(np.concatenate([high, middle + low], axis=1)))
        self.register_buffer("of_low", _float32(high + middle + low))
        self.register_buffer("powers", 2.0 ** torch.arange(_EXPONENTS[0], _EXPONENTS[1], dtype=torch.float32))

    def forward(self, waveforms: Tensor, frames: int) -> Tensor:
        """Turn float32 `[n, samples]` into power `[n, frames, bins]`; frame i begins at sample i * hop."""
        starts = torch.arange(frames)[:, None] * self.hop
        samples = (starts + torch.arange(self.frame_length)[None, :]).flatten()
        # Not waveforms[:, …]: the dynamo exporter turns that into a GatherND.
        framed = waveforms.index_select(1, samples).reshape(-1, frames, self.frame_length)
        # A comparison with a table is exact on every device; a logarithm and a power are not.
        peak = framed.abs().amax(dim=2, keepdim=True)
        above = (self.powers[:-1] < peak).to(torch.int64).sum(dim=2, keepdim=True)
        unit = self.powers.index_select(0, above.flatten()).reshape(above.shape)
        high, middle, low = _split(framed / unit)
        one = high @ self.of_high
        two = middle @ self.of_middle
        width = 2 * self.bins
        # Largest terms first: then no sum rounds where the terms cancel, and precision matters there.
        spectrum = one[..., :width] + two[..., :width] + one[..., width : 2 * width]
        spectrum = spectrum + (one[..., 2 * width :] + two[..., width:] + low @ self.of_low)
        spectrum = spectrum * (unit * self.scale)
        return spectrum[..., : self.bins] ** 2 + spectrum[..., self.bins :] ** 2


def _split(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split values within ±1 into the first `_FRAME_BITS` bits, the next, and the rest; their sum is exact."""
    first = torch.round(frames * 2.0**_FRAME_BITS) * 2.0**-_FRAME_BITS
    rest = frames - first
    second = torch.round(rest * 2.0 ** (2 * _FRAME_BITS)) * 2.0 ** (-2 * _FRAME_BITS)
    return first, second, rest - second


def _slices(matrix: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Split a float64 matrix within ±1, as `_split` does for values; float32 will round the rest."""
    slices, rest = [], matrix
    for step in (1, 2):
        unit = 2.0 ** (-step * _MATRIX_BITS)
        slices.append(np.round(rest / unit) * unit)
        rest = rest - slices[-1]
    return [*slices, rest]


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
