"""The two graphs that the kit traces: an encoder, and one decoder for prompts and further tokens.

On the CPU, rows join and leave a batch at any token. On a GPU they stay until all are done: to move them, keys and
values would travel to the host and back, and a row more costs a step next to nothing.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_serving.whisper.graphs import names
from asr_serving.whisper.graphs.backend import Encoded
from asr_serving.whisper.graphs.running import Graph

# Of weights that are worth having twice: what a second session gains is a seventh of the encoder's time at most.
_MOST_TWICE_BYTES = 128 * 2**20


class Graphs:
    """The sessions of the two graphs in one folder; see `backend.Backend`."""

    aligns = True

    def __init__(self, folder: Path, gpu: int | None = None, threads: int = 0) -> None:
        """Load the graphs; see `graphs.load`."""
        self.moves_rows = gpu is None
        self._encoder, self._decoder = (Graph(folder / file, gpu, threads) for file in (names.ENCODER, names.DECODER))
        # On a CPU, a session for all cores, and one for each core of several.
        cores = threads or len(os.sched_getaffinity(0))
        is_worth_it = gpu is None and cores > 1 and _bytes(folder / names.ENCODER) <= _MOST_TWICE_BYTES
        self._narrow_encoder = Graph(folder / names.ENCODER, gpu, 1) if is_worth_it else self._encoder
        self.lanes = 0 if gpu is not None else cores if is_worth_it else 1
        inputs = {value.name: value for value in self._decoder.session.get_inputs()}
        self._layers = sum(name in inputs for name in names.heard(len(inputs))) // 2
        past = inputs[names.past(1)[0]]
        _, self._heads, _, self._size = past.shape
        self._type = np.float16 if past.type == "tensor(float16)" else np.float32

    def encode(self, features: NDArray[np.float32], is_beside: bool = False) -> Encoded:
        """Encode windows; see `backend.Backend`."""
        heard = names.heard(self._layers)
        encoder = self._narrow_encoder if is_beside else self._encoder
        if not self.moves_rows or len(features) == 1:
            return Encoded(encoder.run({names.FEATURES: features}, [], heard)[1], len(features))
        # On a CPU a batch saves no time, and one by one the results are the same in any company.
        singles = [encoder.run({names.FEATURES: window[None]}, [], heard)[1] for window in features]
        return Encoded({name: np.concatenate([single[name] for single in singles]) for name in heard}, len(features))

    def hidden(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the encoder's outputs; see `backend.Backend`."""
        hidden: NDArray[np.float32] = self._encoder.run({names.FEATURES: features}, [names.HIDDEN], [])[0][0]
        return hidden

    def begin(
        self, tokens: NDArray[np.int64], padding: NDArray[np.int64], encoded: Encoded, read: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], "HostRows | DeviceRows"]:
        """Decode prompts; see `backend.Backend`."""
        past = self._no_past(len(tokens))
        logits, past = self.decode(tokens, padding, read, past, encoded.tensors)
        rows = HostRows if self.moves_rows else DeviceRows
        return logits, rows(self, encoded.tensors, past, padding)

    def decode(
        self,
        tokens: NDArray[np.int64],
        padding: NDArray[np.int64],
        read: NDArray[np.int64],
        past: dict[str, Any],
        heard: dict[str, Any],
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Run the decoder on further tokens `[n, length]`; return logits `[n, k, vocab]` and the longer past."""
        feeds = {names.TOKENS: tokens, names.PADDING: padding, names.READ: read, **past, **heard}
        present = names.present(self._layers)
        (logits,), values = self._decoder.run(feeds, [names.LOGITS], present)
        return logits, dict(zip(past, values.values(), strict=True))

    def align(self, tokens: NDArray[np.int64], encoded: Encoded) -> NDArray[np.float32]:
        """Return the weights of the alignment heads; see `backend.Backend`."""
        nowhere = np.zeros((1, 1), np.int64)
        feeds = {names.TOKENS: tokens[None], names.PADDING: nowhere[0], names.READ: nowhere}
        feeds |= {**self._no_past(1), **encoded.tensors}
        (weights,), _ = self._decoder.run(feeds, [names.ALIGNMENT], [])
        found: NDArray[np.float32] = weights[0]
        return found

    def _no_past(self, rows: int) -> dict[str, Any]:
        none = np.zeros((rows, self._heads, 0, self._size), self._type)
        return dict.fromkeys(names.past(self._layers), none)


class DeviceRows:
    """Rows on a GPU, which stay together; see `backend.Rows`."""

    def __init__(self, graphs: Graphs, heard: dict[str, Any], past: dict[str, Any], padding: NDArray[np.int64]) -> None:
        self._graphs, self._heard, self._past, self._padding = graphs, heard, past, padding

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Take one more token of every row; see `backend.Rows`."""
        here = np.zeros((len(tokens), 1), np.int64)
        logits, self._past = self._graphs.decode(tokens[:, None], self._padding, here, self._past, self._heard)
        last: NDArray[np.float32] = logits[:, 0]
        return last


class HostRows:
    """Rows in the memory of the host; see `backend.Rows`."""

    def __init__(self, graphs: Graphs, heard: dict[str, Any], past: dict[str, Any], padding: NDArray[np.int64]) -> None:
        self._graphs, self._past, self._padding = graphs, past, padding
        # The arrays may have room for more rows than there are: a row that comes or goes moves itself alone.
        self._heard = heard

    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Take one more token of every row; see `backend.Rows`."""
        count = len(tokens)
        heard = {name: values[:count] for name, values in self._heard.items()}
        here = np.zeros((count, 1), np.int64)
        logits, self._past = self._graphs.decode(tokens[:, None], self._padding, here, self._past, heard)
        last: NDArray[np.float32] = logits[:, 0]
        return last

    def remove(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        last = len(self._padding) - 1
        if row != last:
            for values in (*self._heard.values(), *self._past.values(), self._padding):
                values[row] = values[last]
        self._padding = self._padding[:last]
        unused = int(self._padding.min(initial=self._length)) if last else 0
        self._padding = self._padding - unused
        self._past = {name: np.ascontiguousarray(values[:last, :, unused:]) for name, values in self._past.items()}

    def join(self, others: "HostRows") -> None:
        """Take in the rows of others, after its own."""
        count, more = len(self._padding), len(others._padding)
        length = max(self._length, others._length)
        for name, values in self._heard.items():
            if len(values) < count + more:
                values = np.empty((max(count + more, 2 * len(values)), *values.shape[1:]), values.dtype)
                values[:count] = self._heard[name][:count]
                self._heard[name] = values
            values[count : count + more] = others._heard[name][:more]
        self._padding = np.concatenate(
            (self._padding + (length - self._length), others._padding + (length - others._length))
        )
        self._past = {
            name: np.concatenate((_lengthened(values, length), _lengthened(others._past[name], length)))
            for name, values in self._past.items()
        }

    @property
    def _length(self) -> int:
        return int(next(iter(self._past.values())).shape[2])


def _bytes(graph: Path) -> int:
    """Return the size of a graph with the weights beside it."""
    return sum(file.stat().st_size for file in graph.parent.glob(f"{graph.name}*"))


def _lengthened(values: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return keys or values `[n, heads, past, size]` with so many places, the new ones first."""
    return np.pad(values, ((0, 0), (0, 0), (length - values.shape[2], 0), (0, 0)))
