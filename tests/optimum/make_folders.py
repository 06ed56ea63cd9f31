"""Export checkpoints by optimum, and note what its graphs say: `make_folders.py OUT`, in the environment of optimum.

It writes a folder a checkpoint, as `optimum-cli export onnx` does, and in it `logits.npy`, what the graph gives for
`wave.npy`. optimum-onnx needs an older transformers than this project, so that only files go from one to the other.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTModelForCTC
from transformers import AutoFeatureExtractor

CHECKPOINTS = Path(__file__).parents[1] / "data" / "transformers-4.57"
KINDS = ("wav2vec2",)
RATE, SAMPLES = 16_000, 30_000


def main() -> None:
    """Write all folders."""
    out = Path(sys.argv[1])
    for kind in KINDS:
        folder = out / kind
        main_export(str(CHECKPOINTS / kind), folder, task="automatic-speech-recognition", do_validation=False)
        extractor: Any = AutoFeatureExtractor.from_pretrained(CHECKPOINTS / kind)
        random = np.random.default_rng(0)
        time = np.arange(SAMPLES) / RATE
        wave = (0.1 * np.sin(2 * np.pi * 150 * time) + 0.03 * random.normal(size=SAMPLES)).astype(np.float32)
        inputs = extractor(wave, sampling_rate=RATE, return_tensors="pt").input_values
        np.save(folder / "wave.npy", wave)
        np.save(folder / "logits.npy", ORTModelForCTC.from_pretrained(folder)(inputs).logits[0].numpy())


if __name__ == "__main__":
    main()
