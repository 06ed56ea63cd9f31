"""The files of the decode step: three graphs made by optimum, tokens and limits, tokenizer, mel filters."""

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
from tokenizers import Regex, Tokenizer, decoders

from asr_export.whisper.checkpoint import WhisperCheckpoint

# The oldest opset with which optimum exports a Whisper; ONNX Runtime 1.19, which Triton 24.10 ships, takes up to 21.
OPSET = 18
GRAPHS = ("encoder_model", "decoder_model", "decoder_with_past_model")
# The replacements of transformers' `clean_up_tokenization`, for checkpoints whose tokenizer asks for it.
_CLEAN_UP = {f" {end}": end for end in (".", "?", "!", ",")} | {" ' ": "'"}
_CLEAN_UP |= {f" {end}": end for end in ("n't", "'m", "'s", "'ve", "'re")}


def write_artefacts(checkpoint: WhisperCheckpoint, folder: Path) -> None:
    """Write all files that belong beside the decode step's `model.py` into an empty folder."""
    write_graphs(checkpoint.model, folder)
    (folder / "whisper.json").write_text(json.dumps(asdict(checkpoint.settings), indent=2) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(plain_tokenizer(checkpoint.tokenizer).to_str(), encoding="utf-8")
    np.save(folder / "mel_filters.npy", checkpoint.feature_extractor.mel_filters, allow_pickle=False)


def write_graphs(model: Any, folder: Path) -> None:
    """Write encoder_model.onnx, decoder_model.onnx and decoder_with_past_model.onnx (and `*_data` of large ones)."""
    from optimum.exporters.onnx import onnx_export_from_model

    with tempfile.TemporaryDirectory(dir=folder) as work, quiet():
        onnx_export_from_model(
            model,
            work,
            opset=OPSET,
            task="automatic-speech-recognition-with-past",
            do_validation=False,  # the gate does it
            no_post_process=True,  # it would merge the two decoders by an If, which TensorRT does not take
            nb_max_frames=2 * model.config.max_source_positions,
        )
        for file in Path(work).glob("*.onnx*"):
            file.rename(folder / file.name)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence optimum and the tracer, which warns about Python conditions; the gate shows if a warning mattered."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "optimum", "transformers")]
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
    spaces = _CLEAN_UP if tokenizer.clean_up_tokenization_spaces else {}
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
