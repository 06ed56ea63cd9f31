"""The demo model: a small `Wav2Vec2ForCTC`, its labels, its files, and a faster way to run it in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

__all__ = [
    "BLANK",
    "LABELS",
    "BlockConvolutions",
    "build_model",
    "encode",
    "export",
    "frame_counts",
    "greedy",
    "padded",
]

Audio = npt.NDArray[np.float32]

# The labels of facebook/wav2vec2-base-960h, in its order, so that all code that reads that model reads this one.
LABELS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
BLANK = 0
_ID = {label: index for index, label in enumerate(LABELS)}


def build_model() -> Wav2Vec2ForCTC:
    """Return an untrained model of 1.9 million parameters; every training clip is new, so there is no dropout."""
    config = Wav2Vec2Config(
        vocab_size=len(LABELS),
        pad_token_id=BLANK,
        bos_token_id=_ID["<s>"],
        eos_token_id=_ID["</s>"],
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=768,
        conv_dim=(32, 32, 64, 64, 64, 64, 64),
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=16,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
    )
    config._attn_implementation = "eager"  # quicker than the fused kernel for clips this short on a CPU
    return Wav2Vec2ForCTC(config)


class BlockConvolutions(nn.Module):
    """The model's own feature extractor, computed as matrix products on channels-last blocks.

    It replaces the extractor's `forward` in training, and shares its weights. With kernel <= 2 * stride, a window is
    one block of `stride` samples and the head of the next, so it needs no general unfold. The layer norms need no
    transposition either. On a CPU with bfloat16, a training step takes half the time.
    """

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.layers: list[Any] = list(extractor.get_submodule("conv_layers").children())

    def forward(self, audio: Tensor) -> Tensor:
        """Turn [clips, samples] into [clips, channels, frames]."""
        hidden = audio[:, :, None]
        for layer in self.layers:
            conv, norm = layer.conv, layer.layer_norm
            hidden = F.linear(_windows(hidden, conv), conv.weight.transpose(1, 2).flatten(1), conv.bias)
            hidden = F.gelu(F.layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias))
        return hidden.transpose(1, 2)


def _windows(hidden: Tensor, conv: nn.Conv1d) -> Tensor:
    """Turn [clips, time, channels] into [clips, frames, kernel * channels]."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    clips, time, channels = hidden.shape
    frames = (time - kernel) // stride + 1
    hidden = F.pad(hidden, (0, 0, 0, max(0, (frames + 1) * stride - time)))[:, : (frames + 1) * stride]
    blocks = hidden.reshape(clips, frames + 1, stride * channels)
    if kernel == stride:
        return blocks[:, :-1]
    return torch.cat((blocks[:, :-1], blocks[:, 1:, : (kernel - stride) * channels]), dim=-1)


def encode(text: str) -> list[int]:
    """Return the label numbers of a lower-case text."""
    return [_ID[letter] for letter in text.upper().replace(" ", "|")]


def padded(clips: Sequence[Audio]) -> tuple[Tensor, Tensor]:
    """Normalise clips as the feature extractor does; return audio and mask, both [clips, samples]."""
    longest = max(len(clip) for clip in clips)
    audio = np.zeros((len(clips), longest), np.float32)
    mask = np.zeros((len(clips), longest), np.int64)
    for row, clip in enumerate(clips):
        audio[row, : len(clip)] = (clip - clip.mean()) / np.sqrt(clip.var() + 1e-7)
        mask[row, : len(clip)] = 1
    return torch.from_numpy(audio), torch.from_numpy(mask)


def frame_counts(model: Wav2Vec2ForCTC, mask: Tensor) -> Tensor:
    """Return the number of frames of each clip that come from audio and not from padding, [clips]."""
    counts: Tensor = model._get_feat_extract_output_lengths(cast(torch.LongTensor, mask.sum(-1)))
    return counts


@torch.inference_mode()
def greedy(model: Wav2Vec2ForCTC, clips: Sequence[Audio], batch: int = 8) -> list[str]:
    """Return the lower-case transcripts of 16 kHz clips, by best-path decoding."""
    texts = []
    for first in range(0, len(clips), batch):
        audio, mask = padded(clips[first : first + batch])
        best = model(audio, attention_mask=mask).logits.argmax(-1)
        frames = frame_counts(model, mask)
        texts += [_collapse(row[:count].tolist()) for row, count in zip(best, frames, strict=True)]
    return texts


def _collapse(labels: list[int]) -> str:
    letters = "".join(LABELS[label] for label, _ in groupby(labels) if label > _ID["<unk>"])
    return " ".join(letters.replace("|", " ").lower().split())


def export(model: Wav2Vec2ForCTC, folder: Path) -> None:
    """Write the checkpoint in HuggingFace format; other files in the folder, such as its model card, stay."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps(_ID, ensure_ascii=False) + "\n", encoding="utf-8")
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary), do_lower_case=False)  # type: ignore[no-untyped-call]
    tokenizer.save_pretrained(folder)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)  # type: ignore[no-untyped-call]
    extractor.save_pretrained(folder)
