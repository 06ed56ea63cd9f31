"""What optimum makes of a checkpoint: a second opinion on our graph, and an input of ours. `make parity-optimum`."""

from pathlib import Path

import exports
import foreign_graphs as foreign
import numpy as np
import onnxruntime
import pytest
import tiny_checkpoints
import torch
from asr_contract.labels import Labels
from asr_export import GraphOptions, export_graph
from asr_export.graph.feeds import equal_feed
from asr_export.graph.gate import run_graph, run_ragged
from decode import decode
from reference import transformers_says

pytestmark = pytest.mark.optimum
FOLDERS = exports.ROOT / "build" / "optimum"
CHECKPOINTS = exports.ROOT / "tests" / "data" / "transformers-4.57"


@pytest.mark.parametrize("kind", ["wav2vec2"])
def test_alone_our_graph_equals_optimums(kind: str) -> None:
    """An independent exporter of the same checkpoint; it has no mask, so it is a reference for single recordings."""
    wave, logits = (np.load(FOLDERS / kind / f"{name}.npy") for name in ("wave", "logits"))
    session = onnxruntime.InferenceSession(exports.exported(CHECKPOINTS / kind) / "acoustic" / "1" / "model.onnx")
    reference = torch.log_softmax(torch.from_numpy(logits), dim=-1)
    np.testing.assert_allclose(run_ragged(session, [wave])[0], reference.numpy(), atol=1e-4)


def test_a_graph_of_optimum_is_an_input(tmp_path: Path) -> None:
    labels = foreign.write_labels(tiny_checkpoints.ALPHABET, tmp_path / "labels.txt")
    options = GraphOptions(labels, foreign.RATE)
    result = export_graph(FOLDERS / "wav2vec2" / "model.onnx", tmp_path / "models", options)
    assert not result.padding_safe  # it has no mask
    # Optimum leaves the normalisation to the caller.
    wave = np.load(FOLDERS / "wav2vec2" / "wave.npy")
    wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    session = onnxruntime.InferenceSession(result.output / "acoustic" / "1" / "model.onnx")
    (answer,) = run_graph(session, [wave], equal_feed)
    (heard,) = decode([answer], [len(answer)], Labels.load(result.output / "ctc_decode" / "labels.json"))
    assert heard.text == transformers_says(CHECKPOINTS / "wav2vec2", wave)
    assert len(heard.text) > 10
