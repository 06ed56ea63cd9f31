"""Checkpoints of many languages and tokenizers side by side, served by the real Triton."""

from collections.abc import Callable, Iterator
from pathlib import Path

import exports
import numpy as np
import pytest
import tiny_checkpoints
import torch
from asr_client import Client, DecodeOptions
from asr_export import ExportOptions
from asr_server import TritonServer
from reference import transformers_says
from transformers import AutoFeatureExtractor, AutoTokenizer, Wav2Vec2ForCTC
from vocabularies import VOCABULARIES, with_vocabulary

pytestmark = pytest.mark.e2e
RATE = 16_000
MMS = {"eng": tiny_checkpoints.ALPHABET, "por": [*tiny_checkpoints.ALPHABET, *"ÁÂÃÇÉÊÍ"]}
NAMES = {f"vocabulary{index}": vocabulary for index, vocabulary in enumerate(VOCABULARIES)}


@pytest.fixture(scope="module")
def checkpoints(tiny_checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("vocabularies")
    of = tiny_checkpoint("wav2vec2-group-norm")
    return {name: with_vocabulary(of, root / name, *VOCABULARIES[kind]) for name, kind in NAMES.items()}


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoints.write_multilingual(tmp_path_factory.mktemp("mms"), MMS)


@pytest.fixture(scope="module")
def server(
    checkpoints: dict[str, Path], multilingual: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("repository") / "models"
    for name, folder in checkpoints.items():
        exports.add(repository, name, folder)
    for language in MMS:
        exports.add(repository, language, multilingual, ExportOptions(language=language))
    with TritonServer(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


def noise() -> np.ndarray:
    return (0.1 * np.random.default_rng(1).normal(size=2 * RATE + 77)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES, ids=NAMES.values())
def test_a_transcript_is_that_of_transformers(name: str, server: TritonServer, checkpoints: dict[str, Path]) -> None:
    audio = noise()
    with Client(server.grpc_url, model=name) as client:
        answer = client.transcribe(audio, sampling_rate=RATE, options=DecodeOptions(word_timestamps=True))
    assert answer.text == transformers_says(checkpoints[name], audio)
    assert len(answer.text) > 10
    assert [word.word for word in answer.words]


@pytest.mark.parametrize("language", MMS)
def test_a_language_of_mms_is_that_of_transformers(language: str, server: TritonServer, multilingual: Path) -> None:
    audio = noise()
    with Client(server.grpc_url, model=language) as client:
        answer = client.transcribe(audio, sampling_rate=RATE)
    model = Wav2Vec2ForCTC.from_pretrained(multilingual, target_lang=language, ignore_mismatched_sizes=True).eval()
    features = AutoFeatureExtractor.from_pretrained(multilingual)(audio, sampling_rate=RATE, return_tensors="pt")
    with torch.inference_mode():
        ids = model(features.input_values).logits[0].argmax(-1)
    assert answer.text == AutoTokenizer.from_pretrained(multilingual, target_lang=language).decode(ids)
    assert len(answer.text) > 10
