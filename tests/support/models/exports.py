"""Exports that many tests need: made once for the same checkpoint, options and code, and shared by all test processes.

They lie in `build/test-exports`, each in a folder named after what it was made of; nothing ever becomes stale.
"""

import hashlib
import json
import shutil
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path

from asr_contract.labels import Labels
from asr_export import ExportOptions, export_checkpoint
from asr_export.checkpoint.loading import sha256
from asr_export.repository.model_folder import read_config
from asr_export.repository.models import Deployment, write_models
from filelock import FileLock

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "demo" / "checkpoint"
MANIFEST = ROOT / "demo" / "samples" / "manifest.tsv"
_STORE = ROOT / "build" / "test-exports"
_CODE = ("contract", "export", "model_repository", "serving")
_LIBRARIES = ("onnx", "onnxruntime", "torch", "transformers")


def exported(checkpoint: Path, options: ExportOptions | None = None) -> Path:
    """Return a repository with this checkpoint alone. Copy it before you change it."""
    options = options or ExportOptions()
    folder = _STORE / _key(checkpoint, options)
    _STORE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            made = folder.with_suffix(".new")
            shutil.rmtree(made, ignore_errors=True)
            export_checkpoint(str(checkpoint), made, options)
            made.rename(folder)
    return folder


def add(repository: Path, name: str, checkpoint: Path, options: ExportOptions | None = None) -> None:
    """Put the shared export of a checkpoint into a repository, under a name of its own.

    Without the models for long recordings and live streams: each would be one more process of the server.
    """
    options = options or ExportOptions()
    made = exported(checkpoint, options)
    limits = read_config(made / "preprocess").parameters
    deployment = Deployment(
        max_batch_size=options.max_batch_size,
        max_queue=options.queue,
        max_audio_seconds=float(limits["max_audio_seconds"].string_value),
        min_samples=int(limits["min_samples"].string_value),
        labels=Labels.load(made / "ctc_decode" / "labels.json"),
    )
    report = json.loads((made / "asr" / "export.json").read_text(encoding="utf-8"))
    names = write_models(repository, name, made / "acoustic" / "1", deployment, report)
    for model in filter(None, (names.long, names.stream)):
        shutil.rmtree(repository / model)


def _key(checkpoint: Path, options: ExportOptions) -> str:
    facts = {
        "checkpoint": {path.name: sha256(path) for path in sorted(checkpoint.iterdir()) if path.is_file()},
        "options": {name: str(value) for name, value in asdict(options).items()},
        "lm": sha256(Path(options.lm)) if options.lm else None,
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


@cache
def _code() -> str:
    digest = hashlib.sha256(" ".join(version(name) for name in _LIBRARIES).encode())
    for folder in _CODE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".pbtxt", ".sh"):
                digest.update(path.read_bytes())
    return digest.hexdigest()
