"""The checkpoints that all peers load, and the repositories that the kit exports from them, in build/bench."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from asr_export import ExportOptions, export_checkpoint
from asr_export.choices import Precision

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "demo" / "checkpoint"
BUILD = ROOT / "build" / "bench"
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
# The files that a peer needs for the text.
TOKENIZER_FILES = ("vocab.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Exported:
    """A checkpoint and its model repositories."""

    checkpoint: Path
    repositories: dict[Precision, Path]

    def graph(self, precision: Precision) -> Path:
        """Return the path of the acoustic model."""
        return self.repositories[precision] / "acoustic" / "1" / "model.onnx"


def prepare(model: str) -> Exported:
    """Export the checkpoint "demo" or "base" in all precisions, always anew: an old export may come from older code."""
    checkpoint = DEMO if model == "demo" else write_base_size(BUILD / "base" / "checkpoint")
    repositories: dict[Precision, Path] = {}
    for precision in PRECISIONS:
        repositories[precision] = BUILD / model / precision
        shutil.rmtree(repositories[precision], ignore_errors=True)
        export_checkpoint(str(checkpoint), repositories[precision], ExportOptions(precision=precision))
    return Exported(checkpoint, repositories)


def write_base_size(folder: Path) -> Path:
    """Write a checkpoint of the size and shape of wav2vec2-base, with random weights and the demo checkpoint's labels.

    It is as fast as a trained one; its text is noise, and longer than speech would give.
    """
    torch.manual_seed(0)
    library: Any = transformers  # its classes have no types
    labels = json.loads((DEMO / "vocab.json").read_text(encoding="utf-8"))
    library.Wav2Vec2ForCTC(library.Wav2Vec2Config(vocab_size=len(labels), pad_token_id=0)).save_pretrained(folder)
    # As facebook/wav2vec2-base-960h: no mask, because its group norm was trained without one.
    library.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(DEMO / name, folder / name)
    return folder
