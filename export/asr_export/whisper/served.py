"""The decode step as it is served, for the gate: what passes there is what runs in Triton."""

from pathlib import Path
from typing import Any

from asr_export import served_code


def load_service(folder: Path) -> Any:
    """Return the `Service` of `model_repository/whisper_generate/1` over the artefacts in a folder."""
    return served_code.load("whisper_generate", "whisper_service").Service.load(folder)
