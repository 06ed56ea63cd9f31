"""A trained CTC graph, exported as it comes and served: its texts are those of ONNX Runtime and greedy decoding."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from asr_client import Audio
from real import models, speech
from real.greedy import GreedyGraph
from real.results import Results
from real.service import Service, served
from real.speech import RATE, Recording, Samples

pytestmark = pytest.mark.real
BLANK, DELIMITER = "<blank>", "<wb>"
LONGEST_S = 29  # the graph has positions for 1500 frames of 20 ms


@pytest.fixture(scope="module")
def graph(workplace: Path) -> tuple[Path, list[str]]:
    return models.ipa_graph(workplace / "ipa")


@pytest.fixture(scope="module")
def service(graph: tuple[Path, list[str]], workplace: Path, results: Results) -> Iterator[Service]:
    labels = workplace / "labels.txt"
    labels.write_text("".join(f"{label}\n" for label in graph[1]), encoding="utf-8")
    options = ["--labels", str(labels), "--sample-rate", str(RATE), "--blank", BLANK, "--delimiter", DELIMITER]
    with served(graph[0], workplace / "ipa-models", *options, "--max-audio-seconds", str(LONGEST_S)) as running:
        size = graph[0].stat().st_size
        results.models.append(
            {
                "model": "hama, phonemes",
                "checkpoint_bytes": size,
                "repository_bytes": running.bytes,
                "export_s": round(running.export_s, 1),
            }
        )
        yield running


@pytest.fixture(scope="module")
def recordings(english: list[Recording], workplace: Path) -> list[Samples]:
    return [item.samples() for item in [*english, *speech.clips(workplace / "ipa-clips")]]


def test_texts_are_those_of_greedy_decoding(
    service: Service, graph: tuple[Path, list[str]], recordings: list[Samples], results: Results
) -> None:
    reference = GreedyGraph(*graph, BLANK, DELIMITER)
    outcomes = service.client.transcribe_many([Audio(samples, sampling_rate=RATE) for samples in recordings])
    pairs = [
        (outcome.unwrap().text, reference.text(samples)) for outcome, samples in zip(outcomes, recordings, strict=True)
    ]
    different = [pair for pair in pairs if " ".join(pair[0].split()) != " ".join(pair[1].split())]
    lengths = [len(samples) / RATE for samples in recordings]
    results.comparisons.append(
        {
            "model": "hama, phonemes",
            "recordings": "telephone prompts, en, and clips",
            "options": "",
            "compared": len(pairs),
            "different": len(different),
            "shortest_s": round(min(lengths), 2),
            "longest_s": round(max(lengths), 1),
        }
    )
    assert different == []
    assert len({text for text, _ in pairs}) > len(pairs) // 2
