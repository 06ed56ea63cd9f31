"""Every family that exports is served by the real Triton, all of them side by side in one repository."""

from collections.abc import Callable, Iterator
from pathlib import Path

import exports
import numpy as np
import pytest
import transformers
from asr_client import Client
from asr_export.checkpoint.families import FAMILIES
from asr_server import TritonServer
from reference import transformers_says

# The server has a model of each family, each of which is exported first.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
RATE = 16_000
# `model_type` of the family -> the random checkpoint that stands for it.
KINDS = {
    "wav2vec2": "wav2vec2-group-norm",
    "hubert": "hubert-layer-norm",
    "unispeech": "unispeech",
    "unispeech-sat": "unispeech-sat",
    "data2vec-audio": "data2vec",
    "wavlm": "wavlm-group-norm",
    "wav2vec2-conformer": "conformer-relative",
    "sew": "sew",
    "sew-d": "sew-d",
    "wav2vec2-bert": "wav2vec2-bert",
    "parakeet_ctc": "parakeet",
    "omniasr_ctc": "omniasr",
    "lasr_ctc": "lasr",
    "granite_speech5_ctc": "granite-speech5",
}
README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def server(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("families") / "models"
    for name, kind in KINDS.items():
        exports.add(repository, name, tiny_checkpoint(kind))
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


def test_no_family_is_left_out() -> None:
    assert KINDS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("name", KINDS)
def test_a_transcript_is_that_of_transformers(
    name: str, server: TritonServer, tiny_checkpoint: Callable[[str], Path]
) -> None:
    audio = (0.1 * np.random.default_rng(0).normal(size=2 * RATE + 123)).astype(np.float32)
    with Client(server.grpc_url, model=name) as client:
        answer = client.transcribe(audio, sampling_rate=RATE)
    assert answer.text == transformers_says(tiny_checkpoint(KINDS[name]), audio)
    assert len(answer.text) > 10


def test_the_table_in_the_readme_is_of_what_is_served_here() -> None:
    rows = ["| Family | Class in transformers | Takes | A frame every | Shortest recording |", "|---|---|---|---|---|"]
    for name in KINDS:
        family = FAMILIES[name]
        extractor = getattr(transformers, family.feature_extractor)()
        takes = "a waveform" if "input_values" in extractor.model_input_names else "mel features"
        geometry = family.geometry(family.model_class().config_class(), extractor)
        every, shortest = (f"{1e3 * samples / RATE:g} ms" for samples in (geometry.stride, geometry.shortest))
        rows.append(f"| {name} | `{family.architecture}` | {takes} | {every} | {shortest} |")
    table = "\n".join(rows)
    assert table in README.read_text(encoding="utf-8"), f"README.md needs:\n{table}"
