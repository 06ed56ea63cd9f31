"""The text gate: what the decode step makes of labels is what the checkpoint's own tokenizer makes of them.

Tokenizers differ in how they join labels: phonemes by spaces, pieces by marks of several kinds, bytes into characters.
`labels.json` knows some of these ways; a tokenizer with another one must not come out as gibberish.
"""

import sys
from dataclasses import asdict
from importlib import import_module
from typing import Any

import numpy as np

from asr_export.checkpoint import Checkpoint
from asr_export.errors import UnsupportedCheckpoint
from asr_export.labels import Labels
from asr_export.model_folder import template_folder

_TEXTS, _LABELS = 100, 24


def check_text(checkpoint: Checkpoint, labels: Labels) -> None:
    """Compare the text of random labels with what the tokenizer writes.

    Raises:
        UnsupportedCheckpoint: they differ.
    """
    tokenizer, served = checkpoint.tokenizer, _served_labels(labels)
    # A column that the tokenizer does not know is one that training never rewarded.
    spoken = sorted(set(tokenizer.get_vocab().values()) & set(range(len(labels.labels))) - {labels.blank})
    # A tokenizer made for CTC merges equal neighbours; a blank between them keeps them apart.
    is_for_ctc = not tokenizer.decode([labels.blank]).strip()
    random = np.random.default_rng(0)
    for _ in range(_TEXTS):
        columns = random.choice(spoken, _LABELS).tolist()
        ids = [id for column in columns for id in (column, labels.blank)] if is_for_ctc else columns
        written, spelled = tokenizer.decode(ids).strip(), served.text(columns).strip()
        if written != spelled:
            raise UnsupportedCheckpoint(
                f"{checkpoint.source.name}: the tokenizer ({type(tokenizer).__name__}) writes {written!r} where the "
                f"decode step spells {spelled!r}; its way of joining labels is not supported"
            )


def _served_labels(labels: Labels) -> Any:
    """The labels as the decode step reads them. Triton puts its folder on the path; so does this."""
    code = str(template_folder() / "ctc_decode" / "1")
    if code not in sys.path:
        sys.path.append(code)
    return import_module("labels").Labels(**asdict(labels))
