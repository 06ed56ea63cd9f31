"""What transformers itself makes of a recording."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCTC, AutoTokenizer

# Whose texts transformers' own examples write without special tokens.
_SKIP_SPECIAL_TOKENS = ("omniasr_ctc", "lasr_ctc", "granite_speech5_ctc")


def transformers_features(extractor: Any, audio: np.ndarray) -> dict[str, torch.Tensor]:
    """What the model is given for one recording at the checkpoint's rate, float32 `[samples]`."""
    features = extractor(audio, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    if type(extractor).__name__ == "ParakeetFeatureExtractor":
        # It adds a frame and masks it; eager attention makes NaN of everything where that empties a row of its mask.
        valid = features["attention_mask"][0].bool()
        return {name: tensor[:, valid] for name, tensor in features.items()}
    # No mask for a waveform: nothing is padded.
    return {"input_values": features["input_values"]} if "input_values" in features else dict(features)


def transformers_log_probs(checkpoint: Path, audio: np.ndarray) -> np.ndarray:
    """Float32 `[frames, vocab]` of one recording, float32 `[samples]`."""
    extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
    model = AutoModelForCTC.from_pretrained(checkpoint, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(**transformers_features(extractor, audio)).logits[0]
    return np.asarray(torch.log_softmax(logits, dim=-1).numpy())


def transformers_says(checkpoint: Path, audio: np.ndarray) -> str:
    """The greedy transcript of one recording, without spaces around it."""
    ids = transformers_log_probs(checkpoint, audio).argmax(-1)
    skips = AutoConfig.from_pretrained(checkpoint).model_type in _SKIP_SPECIAL_TOKENS
    return str(AutoTokenizer.from_pretrained(checkpoint).decode(ids, skip_special_tokens=skips)).strip()
