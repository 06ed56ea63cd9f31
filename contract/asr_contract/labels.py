"""The meaning of the log-probs' columns: the checkpoint's vocabulary, as `triton-asr export` wrote it."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# SentencePiece marks the beginning of a word in the word's first piece.
WORD_START = "▁"
# transformers' `clean_up_tokenization`, for checkpoints whose tokenizer asks for it.
_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


@dataclass(frozen=True)
class Labels:
    """The vocabulary of a CTC model, and the position of its frames in time."""

    # One per column of the log-probs. Bytes that are only a part of a character are as "surrogateescape" writes them.
    labels: list[str]
    blank: int  # column of the CTC blank
    delimiter: int | None  # column that separates words; None if every label is a word (e.g. Chinese)
    lowercase: bool  # the tokenizer writes lower case, although its labels are upper case
    clean_up_spaces: bool  # the tokenizer removes spaces before punctuation
    sampling_rate: int  # Hz
    stride_samples: int  # between two frames
    receptive_field_samples: int  # heard by one frame; 0 for frames centred on multiples of the stride
    word_start: str | None = None  # the mark of a label that begins a word ("▁"); None: see delimiter

    @classmethod
    def load(cls, path: Path) -> "Labels":
        """Read `labels.json`.

        Raises:
            ValueError: a key is missing or unknown, or an index lies outside the labels.
        """
        content = json.loads(path.read_text(encoding="utf-8"))
        needed = {field.name for field in fields(cls)}
        if content.keys() != needed:
            raise ValueError(f"{path} holds the keys {sorted(content)}; needs {sorted(needed)}")
        labels = cls(**content)
        for name, column in (("blank", labels.blank), ("delimiter", labels.delimiter)):
            if column is not None and not 0 <= column < len(labels.labels):
                raise ValueError(f"{path}: {name} is {column}; needs a column from 0 to {len(labels.labels) - 1}")
        return labels

    def text(self, columns: list[int]) -> str:
        """Return the text of labels without blanks and repeats, as the checkpoint's tokenizer writes it."""
        text = "".join(" " if column == self.delimiter else self.labels[column] for column in columns)
        text = (text.replace(self.word_start, " ") if self.word_start else text).strip()
        if self.lowercase:
            text = text.lower()
        if self.clean_up_spaces:
            for found, written in _CLEAN_UP:
                text = text.replace(found, written)
        return text if text.isprintable() else _whole(text)

    def seconds(self, frames: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the time in s of the edge before each of `frames`; a frame is centred on the samples that it hears."""
        first = (self.receptive_field_samples - self.stride_samples) / 2
        return (frames * self.stride_samples + first) / self.sampling_rate


def _whole(text: str) -> str:
    """Put the parts of characters together; a part that is left alone becomes the replacement character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
