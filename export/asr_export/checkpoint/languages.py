"""Multi-lingual checkpoints (MMS): one model, with an adapter and a vocabulary for each language."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from asr_export.errors import CheckpointError

_SHOWN = 20


def check_language(folder: Path, config: Any, language: str | None) -> None:
    """Refuse a language that the checkpoint does not have, and a missing one if the checkpoint needs it.

    Raises:
        CheckpointError: the language is unknown, missing, or of no use here; the message lists the valid languages.
    """
    known = languages(folder)
    if language is None:
        if known:
            raise CheckpointError(f"{folder} is multi-lingual: choose a --language, {_choices(known)}")
        return
    if not known or getattr(config, "adapter_attn_dim", None) is None:
        raise CheckpointError(f"{folder} has no adapters: --language is only for a multi-lingual checkpoint (MMS)")
    if language not in known:
        raise CheckpointError(f"{folder} does not know the language {language!r}; needs {_choices(known)}")


def languages(folder: Path) -> list[str]:
    """Return the languages of a nested vocabulary; none for a checkpoint of one language."""
    try:
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []  # no vocabulary, or one of another form; loading the tokenizer reports what is wrong
    if not isinstance(vocabulary, dict):
        return []
    return sorted(name for name, labels in vocabulary.items() if isinstance(labels, dict))


def load_adapter(folder: Path, model: Any, language: str) -> None:
    """Load the weights of a language into the model, also those of its head.

    Raises:
        CheckpointError: the adapter's file is missing or broken, or does not fit the model.
    """
    file = folder / f"adapter.{language}.safetensors"
    if not file.is_file():
        raise CheckpointError(f"{folder} has no {file.name}, the adapter of that language")
    try:
        model.load_adapter(language, local_files_only=True, use_safetensors=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot load {file}: {' '.join(str(error).split())}") from error


def _choices(known: list[str]) -> str:
    more = len(known) - _SHOWN
    return "one of " + ", ".join(known[:_SHOWN]) + (f" and {more} more (the keys of vocab.json)" if more > 0 else "")
