"""Ready graphs on the real Triton: many requests of mixed lengths at once are heard as each one alone."""

from collections.abc import Iterator
from pathlib import Path

import foreign_graphs as foreign
import numpy as np
import pytest
import torch
from asr_client import Audio, Client
from asr_export import ExportOptions, GraphOptions, export_graph
from asr_export.graph.gate import synthetic_speech
from asr_export.repository.model_folder import read_config
from asr_server import TritonServer
from google.protobuf import text_format
from triton_counts import settled

pytestmark = pytest.mark.e2e
COLUMNS = len(foreign.PIECES)


@pytest.fixture(scope="module")
def foreign_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """`safe`, whose graph masks, and `leaky`, whose graph cannot."""
    folder = tmp_path_factory.mktemp("foreign")
    options = GraphOptions(foreign.write_labels(foreign.PIECES, folder / "labels.txt"), foreign.RATE)
    safe = foreign.write(foreign.WithLengths(COLUMNS), folder / "safe.onnx", lengths=torch.tensor([4_000, 3_600]))
    leaky = foreign.write(foreign.WaveformOnly(COLUMNS), folder / "leaky.onnx")
    for graph, padding_safe in ((safe, True), (leaky, False)):
        result = export_graph(graph, folder / "models", options, ExportOptions(name=graph.stem))
        assert result.padding_safe is padding_safe
        let_wait(folder / "models" / f"{graph.stem}_acoustic")
    with TritonServer(folder / "models", http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


def let_wait(model: Path) -> None:
    """Let requests wait for others: these graphs are faster than the requests come from a busy machine."""
    config = read_config(model)
    config.dynamic_batching.max_queue_delay_microseconds = 20_000
    (model / "config.pbtxt").write_text(text_format.MessageToString(config))


@pytest.mark.parametrize("name", ["safe", "leaky"])
def test_mixed_lengths_at_once_are_heard_as_alone(name: str, foreign_server: TritonServer) -> None:
    random = np.random.default_rng(5)
    # Some lengths come often, so that the leaky one has batches to make, too.
    lengths = [*random.integers(foreign.RATE // 4, 4 * foreign.RATE, size=40).tolist(), *[foreign.RATE] * 80]
    recordings = [Audio(synthetic_speech(random, length, foreign.RATE), foreign.RATE) for length in lengths]
    with Client(foreign_server.grpc_url, model=name) as client:
        alone = [
            client.transcribe(recording.source, sampling_rate=foreign.RATE, word_timestamps=True)
            for recording in recordings
        ]
        before = settled(foreign_server, f"{name}_acoustic")
        outcomes = client.transcribe_many(recordings, concurrency=len(recordings), word_timestamps=True)
        done = settled(foreign_server, f"{name}_acoustic") - before
    together = [outcome.unwrap() for outcome in outcomes]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert len({answer.text for answer in alone}) > 100
    assert any(" " in answer.text for answer in alone)
    for answer in together:
        assert [word.word for word in answer.words] == answer.text.split()
    assert done.inferences == len(recordings)
    assert done.executions < done.inferences  # batches were made
