"""Checkpoints in the layouts that people have: of transformers 4 and 5, in several files, in fewer bits."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from asr_export import export_checkpoint
from asr_export.checkpoint.labels import read_labels
from asr_export.checkpoint.loading import load, locate
from transformers import AutoFeatureExtractor, AutoProcessor, Wav2Vec2ForCTC

# Saved by transformers 4.57.6, with a processor of its own in the older layout.
OLD = Path(__file__).parents[2] / "data" / "transformers-4.57"
KINDS = ("wav2vec2-group-norm", "wav2vec2-bert", "parakeet")
NEWER = ("omniasr", "lasr", "granite-speech5")


@pytest.mark.parametrize("kind", KINDS)
def test_a_processor_in_one_file(kind: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """transformers 5 saves no preprocessor_config.json."""
    folder = Path(shutil.copytree(tiny_checkpoint(kind), tmp_path / "checkpoint"))
    expected = AutoFeatureExtractor.from_pretrained(folder).to_dict()
    AutoProcessor.from_pretrained(folder).save_pretrained(folder)
    (folder / "preprocessor_config.json").unlink()
    assert "feature_extractor" in json.loads((folder / "processor_config.json").read_text())
    assert load(locate(str(folder))).feature_extractor.to_dict() == expected
    result = export_checkpoint(str(folder), tmp_path / "models")
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert "processor_config.json" in report["files_sha256"]


@pytest.mark.parametrize("kind", NEWER)
def test_a_processor_of_a_family_that_came_with_transformers_5(
    kind: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint(kind), tmp_path / "checkpoint"))
    AutoProcessor.from_pretrained(folder).save_pretrained(folder)
    (folder / "preprocessor_config.json").unlink()
    checkpoint = load(locate(str(folder)))
    assert type(checkpoint.feature_extractor).__name__ == checkpoint.family.feature_extractor
    assert read_labels(checkpoint) == read_labels(load(locate(str(tiny_checkpoint(kind)))))


@pytest.mark.parametrize("folder", sorted(OLD.iterdir()), ids=lambda folder: folder.name)
def test_a_checkpoint_of_transformers_4(folder: Path, tmp_path: Path) -> None:
    assert (folder / "preprocessor_config.json").is_file()
    assert not (folder / "processor_config.json").exists()
    assert export_checkpoint(str(folder), tmp_path / "models").parity.max_abs_difference <= 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_several_files_and_16_bits(
    dtype: torch.dtype, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint("wav2vec2-group-norm"), tmp_path / "checkpoint"))
    model = Wav2Vec2ForCTC.from_pretrained(folder, dtype=dtype)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    result = export_checkpoint(str(folder), tmp_path / "models")
    assert result.parity.max_abs_difference <= 1e-4
    report = json.loads((result.output / "asr" / "export.json").read_text())
    assert "model.safetensors.index.json" in report["files_sha256"]


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_the_type_of_the_weights_under_both_names(
    name: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint("wav2vec2-group-norm"), tmp_path / "checkpoint"))
    config = json.loads((folder / "config.json").read_text())
    config = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    (folder / "config.json").write_text(json.dumps({**config, name: "float16"}))
    assert {weight.dtype for weight in load(locate(str(folder))).model.parameters()} == {torch.float32}
