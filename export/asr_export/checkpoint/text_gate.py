"""The text gate: the decode step and the checkpoint's own tokenizer must turn labels into the same text.

Tokenizers differ in how they join labels: phonemes by spaces, pieces by marks of several kinds, bytes into characters.
`labels.json` supports some of these ways. The gate refuses a tokenizer with another one, whose texts would be garbage.
"""

import numpy as np
from asr_contract.labels import Labels

from asr_export.checkpoint.loading import Checkpoint
from asr_export.errors import UnsupportedCheckpoint

_TEXTS, _LABELS = 100, 24


def check_text(checkpoint: Checkpoint, labels: Labels) -> None:
    """Compare the decode step's text of random labels with the tokenizer's.

    Raises:
        UnsupportedCheckpoint: the texts differ.
    """
    tokenizer = checkpoint.tokenizer
    # Training never rewarded a column that the tokenizer does not know, so it is left out.
    spoken = sorted(set(tokenizer.get_vocab().values()) & set(range(len(labels.labels))) - {labels.blank})
    # A tokenizer made for CTC merges equal neighbours; a blank between them keeps them apart.
    is_for_ctc = not checkpoint.decode([labels.blank]).strip()
    random = np.random.default_rng(0)
    for _ in range(_TEXTS):
        columns = random.choice(spoken, _LABELS).tolist()
        ids = [id for column in columns for id in (column, labels.blank)] if is_for_ctc else columns
        written, spelled = checkpoint.decode(ids).strip(), labels.text(columns).strip()
        if written != spelled:
            raise UnsupportedCheckpoint(
                f"{checkpoint.source.name}: the tokenizer ({type(tokenizer).__name__}) writes {written!r} where the "
                f"decode step spells {spelled!r}; its way of joining labels is not supported"
            )
