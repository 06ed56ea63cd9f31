"""The three graphs that optimum makes: encoder, decoder of a prompt, decoder with past.

Their decoders have no mask for padding: the rows of a batch have prompts of one length, and none joins later. They give
no weights of attention, so there are no times of words.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper.graphs.backend import Encoded
from asr_serving.whisper.graphs.running import Graph

ENCODER, DECODER, DECODER_WITH_PAST = "encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"
_LOGITS, _HIDDEN = "logits", "encoder_hidden_states"


class Graphs:
    """The sessions of the three graphs in one folder; see `backend.Backend`."""

    moves_rows = False
    aligns = False
    lanes = 0

    def __init__(self, folder: Path, gpu: int | None = None, threads: int = 0) -> None:
        """Load the graphs; see `graphs.load`."""
        self._one_by_one = gpu is None
        self._encoder, self._decoder, self._decoder_with_past = (
            Graph(folder / file, gpu, threads) for file in (ENCODER, DECODER, DECODER_WITH_PAST)
        )

    def encode(self, features: NDArray[np.float32], is_beside: bool = False) -> Encoded:
        """Encode windows; see `backend.Backend`."""
        return self.heard(self.hidden(features))

    @staticmethod
    def heard(hidden: NDArray[np.float32]) -> Encoded:
        """Return windows, of which these are the encoder's outputs `[n, positions, channels]`."""
        return Encoded({_HIDDEN: hidden}, len(hidden))

    def hidden(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the encoder's outputs; see `backend.Backend`."""
        # On a CPU a batch saves no time, and one by one the results are the same in any company.
        batches = [window[None] for window in features] if self._one_by_one else [features]
        return np.concatenate(
            [self._encoder.run({"input_features": batch}, ["last_hidden_state"], [])[0][0] for batch in batches]
        )

    def begin(
        self, tokens: NDArray[np.int64], padding: NDArray[np.int64], encoded: Encoded, read: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], "Rows"]:
        """Decode prompts of one length; see `backend.Backend`."""
        assert not padding.any(), "these graphs take prompts of one length"
        logits, cache = _run(self._decoder, {"input_ids": tokens, **encoded.tensors})
        return np.take_along_axis(logits, read[:, :, None], axis=1), Rows(self._decoder_with_past, cache)

    def align(self, tokens: NDArray[np.int64], encoded: Encoded) -> NDArray[np.float32]:
        """Not with these graphs; see `aligns`."""
        raise NotImplementedError


class Rows:
    """Rows that stay together; see `backend.Rows`."""

    def __init__(self, graph: Graph, cache: dict[str, Any]) -> None:
        self._graph, self._cache = graph, cache

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Take one more token of every row; see `backend.Rows`."""
        logits, present = _run(self._graph, {"input_ids": tokens[:, None], **self._cache})
        # The encoder's keys and values never change, so this decoder does not return them.
        self._cache = {**self._cache, **present}
        last: NDArray[np.float32] = logits[:, 0]
        return last


def _run(graph: Graph, feeds: dict[str, Any]) -> tuple[NDArray[np.float32], dict[str, Any]]:
    kept = [name for name in graph.outputs if name != _LOGITS]
    (logits,), present = graph.run(feeds, [_LOGITS], kept)
    return logits, {name.replace("present", "past_key_values", 1): value for name, value in present.items()}
