"""Finding and reading checkpoints: what is refused, and with which words."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fake_hub
import pytest
import torch
from asr_export import CheckpointError, UnsupportedCheckpoint
from asr_export.checkpoint.loading import load, locate


@pytest.fixture
def folder(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> Path:
    """A private copy of a sound checkpoint."""
    return Path(shutil.copytree(tiny_checkpoint("wav2vec2-group-norm"), tmp_path / "checkpoint"))


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_folder_tells_its_files(folder: Path) -> None:
    hashes = load(locate(str(folder))).source.file_hashes()
    assert {"config.json", "model.safetensors", "vocab.json", "preprocessor_config.json"} <= hashes.keys()


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "/nowhere/at/all", "-x y"])
def test_neither_folder_nor_hub_id(name: str) -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a hub id"):
        locate(name)


def test_a_folder_has_no_revision(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="--revision is only for a hub id"):
        locate(str(folder), revision="main")


def test_an_unknown_architecture_names_the_known_ones(folder: Path) -> None:
    edit(folder / "config.json", model_type="bert", architectures=["BertForMaskedLM"])
    with pytest.raises(UnsupportedCheckpoint, match=r"'bert' \(BertForMaskedLM\).*Wav2Vec2ForCTC, HubertForCTC"):
        load(locate(str(folder)))


ADAPTER = {
    "peft_type": "LORA",
    "base_model_name_or_path": "openai/whisper-small",
    "target_modules": ["q_proj", "v_proj"],
}
IS_PEFT = r"is a PEFT adapter \(LORA\) of openai/whisper-small.*merge_and_unload\(\); model.save_pretrained\(FOLDER\)"


def test_an_adapter_of_peft_is_told_with_its_base_and_the_way_out(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (adapter / "adapter_model.safetensors").touch()
    with pytest.raises(UnsupportedCheckpoint, match=IS_PEFT):
        locate(str(adapter))
    shutil.copy(adapter / "adapter_config.json", folder)  # beside a base model it is one, too
    with pytest.raises(UnsupportedCheckpoint, match=IS_PEFT):
        locate(str(folder))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{}", UnsupportedCheckpoint, "of an unnamed kind.* of an unnamed base model"),
        ("[]", CheckpointError, "cannot read .*adapter_config.json"),
        ("{", CheckpointError, "cannot read .*adapter_config.json"),
    ],
)
def test_an_adapter_that_says_little(content: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(error, match=message):
        locate(str(tmp_path))


def test_an_adapter_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(ADAPTER))
    with fake_hub.serve("someone/lora", tmp_path / "adapter") as (address, _):
        done = export_from_hub(address, "someone/lora", tmp_path)
    assert done.returncode == 1
    assert "someone/lora is a PEFT adapter (LORA) of openai/whisper-small" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_that_is_not_ctc(folder: Path) -> None:
    edit(folder / "config.json", architectures=["Wav2Vec2ForPreTraining"])
    with pytest.raises(UnsupportedCheckpoint, match="not a CTC checkpoint.*Wav2Vec2ForPreTraining.*fine-tuned"):
        load(locate(str(folder)))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "has no config.json"),
        (
            "preprocessor_config.json",
            "has no preprocessor_config.json or processor_config.json, which holds the sampling",
        ),
        ("vocab.json", "has no tokenizer: needs vocab.json"),
        ("model.safetensors", "has no model.safetensors"),
    ],
)
def test_a_missing_file_is_named(folder: Path, file: str, message: str) -> None:
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=message):
        load(locate(str(folder)))


def test_pickled_weights_are_not_loaded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"only pytorch_model\.bin.*can run code.*safe_serialization"):
        load(locate(str(folder)))


def test_code_in_a_checkpoint_is_not_run(folder: Path) -> None:
    edit(folder / "config.json", model_type="mine", auto_map={"AutoConfig": "evil.Config"})
    (folder / "evil.py").write_text("raise SystemExit('code of the checkpoint ran')")
    with pytest.raises(CheckpointError, match="config.json"):
        load(locate(str(folder)))


@pytest.mark.parametrize("keep", [0, 7, 200, 20_000])
def test_broken_safetensors(folder: Path, keep: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="cannot load the weights"):
        load(locate(str(folder)))


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.json"])
def test_broken_json(folder: Path, file: str) -> None:
    (folder / file).write_text('{"half": ')
    with pytest.raises(CheckpointError, match="cannot read"):
        load(locate(str(folder)))


def test_weights_that_do_not_fill_the_model(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(CheckpointError, match=r"do not fill the model: \d+ missing .*layers\.2"):
        load(locate(str(folder)))


def test_a_tokenizer_that_needs_more_packages(folder: Path) -> None:
    (folder / "vocab.txt").write_text("[UNK]\n", encoding="utf-8")
    edit(folder / "tokenizer_config.json", tokenizer_class="RoFormerTokenizer")
    with pytest.raises(CheckpointError, match="cannot read .*tokenizer_config.json: .*install rjieba"):
        load(locate(str(folder)))


def test_another_feature_extractor(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", feature_extractor_type="WhisperFeatureExtractor")
    with pytest.raises(
        UnsupportedCheckpoint, match="has a WhisperFeatureExtractor; .* needs a Wav2Vec2FeatureExtractor"
    ):
        load(locate(str(folder)))


def export_from_hub(address: str, name: str, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, because the hub's address and cache are read when its library is imported."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(output / "hub"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "triton_asr", "export", name, "--output", str(output / "models"), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_hub_id_is_downloaded_without_its_pickles(folder: Path, tmp_path: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    with fake_hub.serve("someone/tiny", folder) as (address, downloaded):
        done = export_from_hub(address, "someone/tiny", tmp_path, "--revision", "main")
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in downloaded
    assert "pytorch_model.bin" not in downloaded
    report = json.loads((tmp_path / "models" / "asr" / "export.json").read_text())
    assert (report["source"], report["revision"]) == ("someone/tiny", fake_hub.COMMIT)


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("someone/else", "main", "no folder and no hub repository is called someone/else"),
        ("someone/tiny", "v9", "someone/tiny has no revision 'v9'"),
    ],
)
def test_what_the_hub_does_not_have(folder: Path, tmp_path: Path, name: str, revision: str, message: str) -> None:
    with fake_hub.serve("someone/tiny", folder) as (address, _):
        done = export_from_hub(address, name, tmp_path, "--revision", revision)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_out_of_reach(tmp_path: Path) -> None:
    done = export_from_hub("http://127.0.0.1:9", "someone/tiny", tmp_path)
    assert done.returncode == 1
    assert "there is no folder someone/tiny, and as a hub id it cannot be downloaded" in done.stderr
    assert "Traceback" not in done.stderr
