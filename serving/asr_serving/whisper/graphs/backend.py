"""What the engine needs of graphs: windows become `Encoded`, and prompts of them become `Rows` that write on."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper.graphs.running import to_host


@dataclass(frozen=True)
class Encoded:
    """What the decoder hears of some windows."""

    tensors: dict[str, Any]  # input of the decoder -> `[n, …]`, an array or a tensor on the device
    windows: int

    def __len__(self) -> int:
        return self.windows

    def rows(self, rows: list[int]) -> "Encoded":
        """Return a copy of these windows."""
        return Encoded({name: to_host(value)[rows] for name, value in self.tensors.items()}, len(rows))


class Rows(Protocol):
    """Rows that are decoded side by side, with the keys and values of their tokens."""

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Take one more token `[n]` of every row; return the logits `[n, vocab]` of the next."""


class MovableRows(Rows, Protocol):
    """Rows that come and go; those of a backend that `moves_rows`."""

    def remove(self, row: int) -> None:
        """Forget a row; the last one takes its place."""

    def join(self, others: Any) -> None:
        """Take in the rows of others of the same backend, after its own."""


class Backend(Protocol):
    """Runs the graphs of one checkpoint. The results of a row do not depend on the other rows.

    Attributes:
        moves_rows: rows can leave and join a batch, and prompts of a batch can have different lengths.
        aligns: `align` works.
        lanes: windows that it encodes side by side, each in a thread of its own, while it decodes others; only of a
            backend that `moves_rows`. 0: those that come together are encoded at once, while nothing is decoded.
    """

    moves_rows: bool
    aligns: bool
    lanes: int

    def encode(self, features: NDArray[np.float32], is_beside: bool = False) -> Encoded:
        """Encode windows of log-mel features, float32 `[n, mels, frames]`.

        Args:
            features: of the windows.
            is_beside: other lanes are at work, too, so that one core is enough. The result is the same.
        """

    def hidden(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the encoder's outputs `[n, positions, channels]`, which only the export's checks need."""

    def begin(
        self, tokens: NDArray[np.int64], padding: NDArray[np.int64], encoded: Encoded, read: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], Rows]:
        """Decode prompts.

        Args:
            tokens: ids `[n, length]`; shorter prompts begin with any ids.
            padding: how many of them each row begins with, `[n]`; all 0 unless the backend `moves_rows`.
            encoded: n windows. The rows may change it: who needs it later passes a copy.
            read: `[n, k]`, the places of the tokens after which logits are needed.

        Returns:
            Logits `[n, k, vocab]`, and the rows.
        """

    def align(self, tokens: NDArray[np.int64], encoded: Encoded) -> NDArray[np.float32]:
        """Return the weights of attention to the audio, for ids `[length]` of one window.

        Returns:
            float32 `[heads, length, positions]`, of the heads that follow the audio.
        """
