"""The integers of int8 graphs: weights that are chosen at export, and the range of activations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ACTIVATION_STEPS = 127
ZERO = 128  # of activations, which are uint8
# Weights have 7 bits: without VNNI, ONNX Runtime adds two products in 16 bits, which weights of 8 bits would overflow
# silently.
WEIGHT_STEPS = 63
# Smaller than any activation that carries information: only padding and silence are all zero.
SMALLEST = 1e-12


def quantise_weights(matrix: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantise a matrix with one step for each row or column.

    Args:
        matrix: float32 `[k, m]`.
        axis: the one that shares a step: 0 for a step for each column, 1 for a step for each row.

    Returns:
        int8 `[k, m]`, and the steps, float32 `[m]` or `[k]`.
    """
    steps = np.maximum(np.abs(matrix).max(axis=axis), np.float32(SMALLEST)) / WEIGHT_STEPS
    return np.rint(matrix / np.expand_dims(steps, axis)).astype(np.int8), steps.astype(np.float32)
