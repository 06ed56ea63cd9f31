"""The decode step as it is served, for the gate: what passes there is what runs in Triton."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from asr_export.model_folder import template_folder


def load_service(folder: Path) -> Any:
    """The `Service` of `model_repository/whisper_generate/1` over the artefacts in a folder.

    Triton puts that folder on the path; so does this.
    """
    code = str(template_folder() / "whisper_generate" / "1")
    if code not in sys.path:
        sys.path.append(code)
    return import_module("whisper_service").Service.load(folder)
