"""Export checkpoints by optimum: `make_folders.py CHECKPOINTS OUT`, in the environment of optimum.

It writes a folder a checkpoint, as `optimum-cli export onnx` does, and for a CTC one what its graph says: `logits.npy`
for `wave.npy`. `whisper-hub` holds what repositories of the hub hold: a merged decoder in `onnx/`, in several variants.
optimum-onnx needs an older transformers than this project, so that only files go from one to the other.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForCTC
from transformers import AutoFeatureExtractor

SUPPORT = Path(__file__).parents[1] / "support" / "models"
CTC = ("wav2vec2", "hubert", "sew")
RATE, SAMPLES = 16_000, 30_000
TASK = "automatic-speech-recognition"


def main() -> None:
    """Write all folders."""
    sys.path.insert(0, str(SUPPORT))
    import graph_variants

    checkpoints, out = Path(sys.argv[1]), Path(sys.argv[2])
    for kind in CTC:
        _export(checkpoints / kind, out / kind, TASK)
        _listen(checkpoints / kind, out / kind)
    graph_variants.quantise(out / "wav2vec2" / "model.onnx")
    _export(checkpoints / "whisper", out / "whisper", f"{TASK}-with-past")
    _export(checkpoints / "whisper", out / "whisper-without-past", TASK)
    hub = out / "whisper-hub"
    (hub / "onnx").mkdir(parents=True)
    for file in (out / "whisper").glob("*.json"):
        shutil.copy(file, hub)
    for name in ("encoder_model", "decoder_model_merged"):
        graph = Path(shutil.copy(out / "whisper" / f"{name}.onnx", hub / "onnx"))
        graph_variants.quantise(graph)
        graph_variants.halve(graph)


def _export(checkpoint: Path, folder: Path, task: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    main_export(str(checkpoint), folder, task=task, do_validation=False)
    # optimum leaves out a tokenizer that its transformers cannot load.
    for file in (*checkpoint.glob("*token*.json"), *checkpoint.glob("vocab.json")):
        if not (folder / file.name).exists():
            shutil.copy(file, folder)


def _listen(checkpoint: Path, folder: Path) -> None:
    extractor: Any = AutoFeatureExtractor.from_pretrained(checkpoint)
    random = np.random.default_rng(0)
    time = np.arange(SAMPLES) / RATE
    wave = (0.1 * np.sin(2 * np.pi * 150 * time) + 0.03 * random.normal(size=SAMPLES)).astype(np.float32)
    inputs = extractor(wave, sampling_rate=RATE, return_tensors="pt").input_values
    np.save(folder / "wave.npy", wave)
    np.save(folder / "logits.npy", ORTModelForCTC.from_pretrained(folder)(inputs).logits[0].numpy())


if __name__ == "__main__":
    main()
