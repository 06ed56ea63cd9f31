"""Multi-lingual checkpoints: one language of several is exported."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tiny_checkpoints
import torch
from asr_export import CheckpointError, ExportOptions, export_checkpoint
from asr_export.checkpoint.loading import load, locate
from asr_export.graph.gate import run_ragged
from transformers import AutoFeatureExtractor, Wav2Vec2ForCTC

VOCABULARIES = {
    "eng": ["<pad>", "<s>", "</s>", "<unk>", "|", *"etaonih"],
    "por": ["<pad>", "<s>", "</s>", "<unk>", "|", *"aeoãçéstr"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoints.write_multilingual(tmp_path_factory.mktemp("mms"), VOCABULARIES)


@pytest.mark.parametrize("language", VOCABULARIES)
def test_each_language_has_its_own_head_and_labels(language: str, folder: Path, tmp_path: Path) -> None:
    result = export_checkpoint(str(folder), tmp_path, ExportOptions(language=language))
    assert result.labels.labels == VOCABULARIES[language]
    report = json.loads((tmp_path / "asr" / "export.json").read_text())
    assert f"adapter.{language}.safetensors" in report["files_sha256"]

    wave = (0.1 * np.random.default_rng(0).normal(size=12_345)).astype(np.float32)
    reference = Wav2Vec2ForCTC.from_pretrained(folder, target_lang=language, ignore_mismatched_sizes=True).eval()
    inputs = AutoFeatureExtractor.from_pretrained(folder)(wave, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        expected = torch.log_softmax(reference(inputs).logits[0], dim=-1).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "acoustic" / "1" / "model.onnx")
    np.testing.assert_allclose(run_ragged(session, [wave])[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("language", "message"),
    [
        (None, "is multi-lingual: choose a --language, one of eng, por"),
        ("pt", "does not know the language 'pt'; needs one of eng, por"),
    ],
)
def test_the_languages_to_choose_from_are_named(language: str | None, message: str, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(locate(str(folder), language=language), language)


def test_a_checkpoint_of_one_language_has_none_to_choose(tmp_path: Path) -> None:
    single = tiny_checkpoints.write("wav2vec2-layer-norm", tmp_path)
    with pytest.raises(CheckpointError, match="has no adapters: --language is only for"):
        load(locate(str(single)), "eng")


@pytest.mark.parametrize(("content", "message"), [(None, "has no adapter.por"), (b"broken", "cannot load .*por")])
def test_an_adapter_that_cannot_be_read(content: bytes | None, message: str, tmp_path: Path) -> None:
    folder = tiny_checkpoints.write_multilingual(tmp_path, VOCABULARIES)
    file = folder / "adapter.por.safetensors"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load(locate(str(folder), language="por"), "por")
