"""What a Whisper's graphs are compared with: PyTorch, the same graphs in float32, or the graphs themselves."""

from typing import Any, Protocol

import numpy as np
import torch
from asr_serving.whisper.graphs.apart import Graphs
from numpy.typing import NDArray


class Reference(Protocol):
    """A model that answers for one recording alone."""

    name: str  # in messages

    def encode(self, window: NDArray[np.float32]) -> Any:
        """Return the hidden states `[1, positions, size]` of a log-mel window `[1, mels, frames]`, in its own form."""

    def logits(self, tokens: NDArray[np.int64], hidden: Any) -> NDArray[np.float32]:
        """Return the logits `[length, vocab]` of ids `[1, length]` after these hidden states."""


class PyTorch:
    """transformers' own model."""

    name = "PyTorch"

    def __init__(self, model: Any) -> None:
        """Bind a WhisperForConditionalGeneration."""
        self._model = model

    def encode(self, window: NDArray[np.float32]) -> torch.Tensor:
        """Return hidden states, as `Reference` says."""
        with torch.inference_mode():
            hidden: torch.Tensor = self._model.model.encoder(torch.from_numpy(window)).last_hidden_state
        return hidden

    def logits(self, tokens: NDArray[np.int64], hidden: torch.Tensor) -> NDArray[np.float32]:
        """Return logits, as `Reference` says."""
        with torch.inference_mode():
            answer = self._model(encoder_outputs=(hidden,), decoder_input_ids=torch.from_numpy(tokens))
        return np.asarray(answer.logits[0].numpy())


class WholePrompts:
    """The encoder and the decoder of prompts of some graphs: they hear all ids at once, without a cache."""

    def __init__(self, graphs: Graphs, name: str) -> None:
        """Bind the graphs."""
        self._graphs = graphs
        self.name = name

    def encode(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return hidden states, as `Reference` says."""
        return self._graphs.hidden(window)

    def logits(self, tokens: NDArray[np.int64], hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, as `Reference` says."""
        everywhere = np.arange(tokens.shape[1])[None]
        logits, _ = self._graphs.begin(tokens, np.zeros(1, np.int64), self._graphs.heard(hidden), everywhere)
        found: NDArray[np.float32] = logits[0]
        return found
