"""The files beside the adapters of a Whisper: two graphs; tokens and limits, tokenizer, mel filters."""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from asr_serving.whisper.codec import MEL_FILTERS, TOKENIZER
from asr_serving.whisper.graphs import names
from asr_serving.whisper.settings import FILE
from tokenizers import Regex, Tokenizer, decoders

from asr_export.checkpoint.labels import cleans_up_spaces
from asr_export.graph.attention import fuse_attention
from asr_export.graph.trace import OPSETS, Quiet, save_graph, trace
from asr_export.whisper.checkpoint import WhisperCheckpoint
from asr_export.whisper.networks import Decoder, Encoder

OPSET = OPSETS["torchscript"]
# The replacements of transformers' `clean_up_tokenization`, for checkpoints whose tokenizer asks for it.
_CLEAN_UP = {f" {end}": end for end in (".", "?", "!", ",")} | {" ' ": "'"}
_CLEAN_UP |= {f" {end}": end for end in ("n't", "'m", "'s", "'ve", "'re")}


def write_artefacts(checkpoint: WhisperCheckpoint, folder: Path, gpu: bool = False) -> None:
    """Write all files that belong beside the decode step's `model.py` into an empty folder.

    Args:
        checkpoint: of which they are.
        folder: where to write.
        gpu: the graphs will run on a GPU.
    """
    write_graphs(checkpoint, folder, gpu)
    write_settings(checkpoint, folder)


def write_settings(checkpoint: WhisperCheckpoint, folder: Path) -> None:
    """Write the files beside the graphs: tokens and limits, tokenizer, mel filters."""
    (folder / FILE).write_text(json.dumps(asdict(checkpoint.settings), indent=2) + "\n", encoding="utf-8")
    (folder / TOKENIZER).write_text(plain_tokenizer(checkpoint.tokenizer).to_str(), encoding="utf-8")
    np.save(folder / MEL_FILTERS, checkpoint.feature_extractor.mel_filters, allow_pickle=False)


def write_graphs(checkpoint: WhisperCheckpoint, folder: Path, gpu: bool = False) -> None:
    """Write encoder and decoder as `.onnx` into an empty folder (and `.onnx.data` beside a large one).

    For a CPU, the encoder's attention is one operator; fp16 is for GPUs, and its conversion knows standard ones alone.
    """
    networks = {
        names.ENCODER: Encoder(checkpoint.model),
        names.DECODER: Decoder(checkpoint.model, checkpoint.alignment_heads),
    }
    for file, network in networks.items():
        with tempfile.TemporaryDirectory(dir=folder) as work, torch.inference_mode(), Quiet():
            trace(network.eval(), network.example(), network.inputs, network.outputs, Path(work) / file)
            if file == names.ENCODER and not gpu:
                _fuse(Path(work) / file, checkpoint.config.encoder_attention_heads)
            for made in Path(work).iterdir():
                made.rename(folder / made.name)


def _fuse(path: Path, heads: int) -> None:
    model = onnx.load(path)
    fuse_attention(model, heads)
    save_graph(model, path)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence `generate()`, which warns about arguments; the gate shows if a warning mattered."""
    loggers = [logging.getLogger(name) for name in ("transformers", "torch")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def plain_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return the checkpoint's tokenizer with a `decode` that gives the text which transformers makes in Python.

    After decoding, transformers removes timestamps, and spaces before punctuation if the checkpoint asks for it.
    """
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    spaces = _CLEAN_UP if cleans_up_spaces(tokenizer) else {}
    plain.decoder = decoders.Sequence(
        [
            plain.decoder,
            *(decoders.Replace(old, new) for old, new in spaces.items()),
            decoders.Replace(Regex(r"<\|\d+\.\d+\|>"), ""),
        ]
    )
    plain.no_padding()
    plain.no_truncation()
    return plain
