"""The folder of one model in a Triton repository: copy it from the template, read and write its configuration."""

import json
import shutil
from pathlib import Path
from typing import Any

import asr_contract
import asr_serving
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from asr_export.errors import OutputError

# The decode step is told where speech is, and needs no voice detector of its own.
_WITHOUT_DETECTOR = {"ctc_decode"}
_DETECTOR = "silero_vad.*"


def template_folder() -> Path:
    """Return the folder of the checked-in models: in the package of a wheel, or at the top of a checkout."""
    packaged = Path(__file__).parents[1] / "model_repository"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "model_repository"


def read_config(model: Path) -> Any:
    """Return the configuration of a model folder, as protobuf.

    Raises:
        OutputError: config.pbtxt is missing or not valid.
    """
    path = model / "config.pbtxt"
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise OutputError(f"cannot read {path}: {error}") from error


def write_config(target: Path, config: Any) -> None:
    """Write config.pbtxt."""
    text = text_format.MessageToString(config)
    (target / "config.pbtxt").write_text(f"# Written by triton-asr export.\n{text}", encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that people and `model.py` can read."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # A part of a character (see `Labels.labels`) has no UTF-8; Python's escape of it is also that of JSON.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def copy_template(model: str, target: Path) -> Any:
    """Copy a checked-in model without files of a local run; return its configuration, under the new name.

    For a Python model, the packages that it imports go beside its adapter, so that the repository needs nothing else
    from this project.
    """
    source = template_folder() / model
    shutil.copytree(
        source,
        target,
        ignore=shutil.ignore_patterns(
            "__pycache__", "*.onnx*", "*.npy", "labels.json", "whisper.json", "tokenizer.json", "lm.*", "lexicon.txt"
        ),
    )
    config = read_config(source)
    if config.backend == "python":
        left_out = shutil.ignore_patterns("__pycache__", *([_DETECTOR] if model in _WITHOUT_DETECTOR else []))
        for package in (asr_contract, asr_serving):
            folder = Path(package.__path__[0])
            shutil.copytree(folder, target / "1" / folder.name, ignore=left_out)
    config.name = target.name
    return config


def tensor(tensors: Any, name: str) -> Any:
    """Return the input or output of that name."""
    return next(tensor for tensor in tensors if tensor.name == name)


def queue_policy(config: Any) -> Any:
    """Return the part of a configuration that limits how many requests may wait for the model, and how long."""
    return config.dynamic_batching.default_queue_policy
