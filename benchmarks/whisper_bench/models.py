"""whisper-tiny.en in the form that each contender takes, in build/bench: made of one checkpoint."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from whisper_bench.ggml import write_ggml

ROOT = Path(__file__).parents[2]
# Percentage points: on 80 prompts, a loop more or less is as much.
MAX_WER_LOSS = 1.0
BUILD = ROOT / "build" / "bench"
NAME = "whisper-tiny.en"
LONGEST_S = 900  # of a recording that `asr` takes at once: the one of 13 minutes
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OPTIMUM_PYTHON = ROOT / ".venv-optimum" / "bin" / "python"

sys.path.insert(0, str(ROOT / "tests" / "support"))  # its package `real` downloads models and recordings


class NotMade(Exception):
    """A form of the model could not be made; the message says why."""


@dataclass(frozen=True)
class Library:
    """A library beside the kit, in the environment that it needs."""

    name: str  # in `worker.LIBRARIES`
    precision: str
    python: Path
    packages: tuple[str, ...]  # whose versions are stated
    hears_long: bool = True  # recordings that are longer than a window


# In the order of the tables. The first one is what the others are compared with.
LIBRARIES = {
    "faster-whisper-int8": Library("faster-whisper", "int8", PEERS_PYTHON, ("faster-whisper", "ctranslate2")),
    "faster-whisper-fp32": Library("faster-whisper", "fp32", PEERS_PYTHON, ("faster-whisper", "ctranslate2")),
    "whisper.cpp-f16": Library("whisper.cpp", "f16", PEERS_PYTHON, ("pywhispercpp",)),
    "onnx-asr": Library("onnx-asr", "fp32", PEERS_PYTHON, ("onnx-asr", "onnxruntime"), hears_long=False),
    "transformers": Library("transformers", "fp32", Path(sys.executable), ("transformers", "torch")),
    "optimum": Library("optimum", "fp32", OPTIMUM_PYTHON, ("optimum-onnx", "onnxruntime", "transformers")),
}


@dataclass
class Models:
    """What was made, and what was not."""

    folders: dict[str, Path] = field(default_factory=dict)  # name in LIBRARIES -> what it loads
    repositories: dict[str, Path] = field(default_factory=dict)  # precision -> model repository of the kit
    left_out: dict[str, str] = field(default_factory=dict)  # contender -> why


def checkpoint() -> Path:
    """Return the checkpoint of HuggingFace; it is downloaded and converted at first.

    Raises:
        real.downloads.Unavailable: it cannot be had.
    """
    from real import models

    folder = BUILD / NAME
    if not (folder / "model.safetensors").exists():
        for old in (folder, _ctranslate2()):
            shutil.rmtree(old, ignore_errors=True)
        models.checkpoint(NAME, folder)
    return folder


def prepare(libraries: list[str], precisions: list[str], manifest: Path) -> Models:
    """Make what the libraries load, and export the kit's repositories, always anew: old ones may come from older code.

    Args:
        libraries: names in LIBRARIES.
        precisions: of the kit.
        manifest: recordings and texts, by which an export in fewer bits is judged.
    """
    models, source = Models(), checkpoint()
    for name in libraries:
        try:
            models.folders[name] = _library_folder(LIBRARIES[name], source)
        except NotMade as why:
            models.left_out[name] = str(why)
    for precision in precisions:
        try:
            models.repositories[precision] = _exported(source, precision, manifest)
        except NotMade as why:
            models.left_out[f"kit-{precision}"] = str(why)
    return models


def _ctranslate2() -> Path:
    return BUILD / f"{NAME}-ct2"  # where `real.models.checkpoint` leaves it


def _library_folder(library: Library, source: Path) -> Path:
    if not library.python.exists():
        raise NotMade(f"{library.python} is missing: make bench-whisper sets it up")
    if library.name == "faster-whisper":
        return _ctranslate2()
    if library.name == "whisper.cpp":
        folder = BUILD / f"{NAME}-ggml"
        folder.mkdir(exist_ok=True)
        write_ggml(source, folder / "f16.bin")
        return folder
    if library.name in ("onnx-asr", "optimum"):
        return _optimum_folder(source)
    return source


def _optimum_folder(source: Path) -> Path:
    """Return the folder that optimum exports, with the vocabulary in the two files in which onnx-asr reads it."""
    folder = BUILD / f"{NAME}-optimum"
    if (folder / "added_tokens.json").exists():
        return folder
    if not OPTIMUM_PYTHON.exists():
        raise NotMade(f"optimum exports its graphs, and {OPTIMUM_PYTHON} is missing: make bench-whisper sets it up")
    shutil.rmtree(folder, ignore_errors=True)
    script = Path(__file__).with_name("optimum_folder.py")
    _run([str(OPTIMUM_PYTHON), str(script), str(source), str(folder)])
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    for name, content in (("vocab.json", tokenizer["model"]["vocab"]), ("added_tokens.json", added)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _exported(source: Path, precision: str, manifest: Path) -> Path:
    repository = BUILD / f"{NAME}-kit" / precision
    shutil.rmtree(repository, ignore_errors=True)
    command = [sys.executable, "-m", "triton_asr", "export", str(source), "--output", str(repository)]
    command += ["--max-audio-seconds", str(LONGEST_S)]
    if precision != "fp32":
        command += ["--precision", precision, "--check-manifest", str(manifest), "--max-wer-loss", str(MAX_WER_LOSS)]
    _run(command)
    return repository


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NotMade(said[-1] if said else f"{command[0]} ended with status {done.returncode}")
