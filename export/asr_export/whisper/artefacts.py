"""The files of the decode step: three graphs, tokens and limits, tokenizer, mel filters."""

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
import torch
from tokenizers import Regex, Tokenizer, decoders

from asr_export.checkpoint.labels import cleans_up_spaces
from asr_export.graph.trace import OPSETS, Quiet, trace
from asr_export.whisper.checkpoint import WhisperCheckpoint
from asr_export.whisper.networks import Encoder, PromptDecoder, StepDecoder

OPSET = OPSETS["torchscript"]
GRAPHS = ("encoder_model", "decoder_model", "decoder_with_past_model")
# The replacements of transformers' `clean_up_tokenization`, for checkpoints whose tokenizer asks for it.
_CLEAN_UP = {f" {end}": end for end in (".", "?", "!", ",")} | {" ' ": "'"}
_CLEAN_UP |= {f" {end}": end for end in ("n't", "'m", "'s", "'ve", "'re")}


def write_artefacts(checkpoint: WhisperCheckpoint, folder: Path) -> None:
    """Write all files that belong beside the decode step's `model.py` into an empty folder."""
    write_graphs(checkpoint.model, folder)
    write_settings(checkpoint, folder)


def write_settings(checkpoint: WhisperCheckpoint, folder: Path) -> None:
    """Write the files beside the graphs: tokens and limits, tokenizer, mel filters."""
    (folder / "whisper.json").write_text(json.dumps(asdict(checkpoint.settings), indent=2) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(plain_tokenizer(checkpoint.tokenizer).to_str(), encoding="utf-8")
    np.save(folder / "mel_filters.npy", checkpoint.feature_extractor.mel_filters, allow_pickle=False)


def write_graphs(model: Any, folder: Path) -> None:
    """Write the three GRAPHS as `.onnx` into an empty folder (and `.onnx.data` beside a large one)."""
    networks = (Encoder(model), PromptDecoder(model), StepDecoder(model))
    for name, network in zip(GRAPHS, networks, strict=True):
        with tempfile.TemporaryDirectory(dir=folder) as work, torch.inference_mode(), Quiet():
            trace(network.eval(), network.example(), network.inputs, network.outputs, Path(work) / f"{name}.onnx")
            for file in Path(work).iterdir():
                file.rename(folder / file.name)


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
