"""The code of the served models, for the gates: what passes there is what runs in Triton."""

import sys
from importlib import import_module
from types import ModuleType

from asr_export.model_folder import template_folder


def load(model: str, module: str) -> ModuleType:
    """Return a module of `model_repository/MODEL/1`, which imports its neighbours by their plain names.

    Triton puts that folder on the path; so does this, for as long as the import takes.

    Raises:
        ModuleNotFoundError: a package that the module needs is missing.
    """
    folder = str(template_folder() / model / "1")
    sys.path.insert(0, folder)
    try:
        return import_module(module)
    finally:
        sys.path.remove(folder)
