"""The language model that comes with a checkpoint of transformers' Wav2Vec2ProcessorWithLM.

Its files are those of pyctcdecode: `alphabet.json`, and `language_model/` with KenLM's file, `attrs.json` and
`unigrams.txt`. pyctcdecode's score is alpha times the natural logarithm of the model's probability, plus beta for each
word. The decode step computes the same score from `lm_weight` and `word_score`.
"""

import json
import re
from pathlib import Path
from typing import Any

from asr_contract.labels import Labels

from asr_export.checkpoint.loading import LANGUAGE_MODEL, LANGUAGE_MODEL_SUFFIXES
from asr_export.errors import LanguageModelError
from asr_export.repository import language_model
from asr_export.repository.language_model import LanguageModel, Weights

_ATTRIBUTES, _WORDS, _ALPHABET = "attrs.json", "unigrams.txt", "alphabet.json"
_UNKNOWN_LABEL = re.compile(r"[<\[]unk[>\]]", re.IGNORECASE)
_UNKNOWN = "⁇"


def read(checkpoint: Path, labels: Labels) -> LanguageModel | None:
    """Return the language model in a checkpoint's folder; None if there is none.

    Args:
        checkpoint: the folder.
        labels: of the acoustic model.

    Raises:
        LanguageModelError: the language model cannot be used with these labels; the message says why.
    """
    folder = checkpoint / LANGUAGE_MODEL
    if not folder.is_dir():
        return None
    there = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__"))]
    files = [path for path in there if path.suffix in LANGUAGE_MODEL_SUFFIXES]
    if len(files) != 1:
        raise LanguageModelError(
            f"{folder} holds {', '.join(path.name for path in there) or 'nothing'}; needs one model of KenLM "
            f"({', '.join(LANGUAGE_MODEL_SUFFIXES)})"
        )
    weights = _weights(folder / _ATTRIBUTES)
    _check_alphabet(checkpoint / _ALPHABET, labels)
    words = folder / _WORDS
    # pyctcdecode writes an empty file if it knows no words.
    lexicon = words if words.is_file() and words.stat().st_size else None
    return language_model.read(files[0], lexicon, labels, weights)


def _weights(path: Path) -> Weights:
    attributes = _object(path)
    numbers = []
    for name in ("alpha", "beta"):
        value = attributes.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise LanguageModelError(f"{path} has {name} {value!r}; needs a number")
        numbers.append(float(value))
    return language_model.check_weights(Weights(*numbers), str(path))


def _check_alphabet(path: Path, labels: Labels) -> None:
    """Compare pyctcdecode's names of the columns with the vocabulary's; a common recipe turns them into lower case."""
    alphabet = _object(path)
    names = alphabet.get("labels")
    if alphabet.get("is_bpe"):
        raise LanguageModelError(f"{path} has pieces of words; needs letters")
    if not isinstance(names, list) or len(names) != len(labels.labels):
        count = len(names) if isinstance(names, list) else "no"
        raise LanguageModelError(f"{path} has {count} labels; needs the model's {len(labels.labels)}")
    for column, (name, label) in enumerate(zip(names, labels.labels, strict=True)):
        valid = [label, label.lower()]
        if column == labels.blank:
            valid = [""]
        elif column == labels.delimiter:
            valid.append(" ")
        elif _UNKNOWN_LABEL.fullmatch(label):
            valid.append(_UNKNOWN)
        if name not in valid:
            raise LanguageModelError(f"{path} calls column {column} {name!r}, but the vocabulary calls it {label!r}")


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LanguageModelError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise LanguageModelError(f"{path} holds {type(content).__name__}; needs an object")
    return content
