"""What transformers itself makes of a recording."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer


def transformers_says(checkpoint: Path, audio: np.ndarray) -> str:
    """The greedy transcript of one recording at the checkpoint's rate, float32 `[samples]`."""
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    model = AutoModelForCTC.from_pretrained(checkpoint).eval()
    inputs = extractor(audio, sampling_rate=extractor.sampling_rate, return_tensors="pt").input_values
    with torch.inference_mode():
        ids = model(inputs).logits[0].argmax(-1)
    return str(AutoTokenizer.from_pretrained(checkpoint).decode(ids))
