"""Greedy CTC decoding of a ready graph by ONNX Runtime alone, one recording at a time."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import onnxruntime

from real.speech import Samples


class GreedyGraph:
    """A graph from `waveform` and `waveform_lengths` to `log_probs` and `out_lengths`, with its labels."""

    def __init__(self, graph: Path, labels: Sequence[str], blank: str, delimiter: str) -> None:
        self._session = onnxruntime.InferenceSession(graph)
        self._labels, self._blank, self._delimiter = labels, labels.index(blank), delimiter

    def text(self, samples: Samples) -> str:
        """Return the labels of the best path of a recording `[samples]`; the delimiter is a space."""
        feed = {"waveform": samples[None], "waveform_lengths": np.array([len(samples)], np.int64)}
        log_probs, frames = self._session.run(["log_probs", "out_lengths"], feed)
        best = [int(label) for label, _ in groupby(log_probs[0, : int(frames[0])].argmax(-1))]
        labels = (self._labels[label] for label in best if label != self._blank)
        return "".join(" " if label == self._delimiter else label for label in labels)
