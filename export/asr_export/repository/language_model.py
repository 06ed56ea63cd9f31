"""An n-gram language model for the decode step: checked by the code that will serve it, then copied."""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from asr_contract.labels import Labels

from asr_export.errors import LanguageModelError
from asr_export.repository.model_folder import write_json

_MOST = {"lm_weight": (0.0, 10.0), "word_score": (-100.0, 100.0)}  # lowest and highest, as in a request
_WEIGHTS_FILE = "lm.json"


@dataclass(frozen=True)
class Weights:
    """The weights of a text's score, for requests that set none."""

    lm_weight: float  # factor of the logarithm of the model's probability
    word_score: float  # nats for each word


@dataclass(frozen=True)
class LanguageModel:
    """The files of a language model, and the facts that the decode step finds in them."""

    path: Path  # an ARPA file, or KenLM's binary form of one
    lexicon: Path | None  # the words that the decoder may write; None: all words of the model
    weights: Weights | None  # None: the decode step's own
    kind: str  # "words" or "labels", the units of the model
    words: int  # number of words that the decoder can write; 0 for a model of labels
    left_out: int  # number of words that the labels cannot write
    examples: list[str]  # some of the words left out

    def copy_to(self, decode_step: Path) -> None:
        """Copy the files to the folder where the decode step looks for them."""
        for name, source in _files(self.path, self.lexicon).items():
            shutil.copyfile(source, decode_step / name)
        if self.weights:
            write_json(decode_step / _WEIGHTS_FILE, asdict(self.weights))

    def facts(self) -> dict[str, object]:
        """Return the facts for `export.json`."""
        return {**asdict(self), "path": str(self.path), "lexicon": str(self.lexicon) if self.lexicon else None}


def check_weights(weights: Weights, source: str) -> Weights:
    """Return the weights, after checking that a request could set them.

    Raises:
        LanguageModelError: a weight is out of range; the message names its `source`.
    """
    for name, value in asdict(weights).items():
        low, high = _MOST[name]
        if not low <= value <= high:
            raise LanguageModelError(f"{source} sets {name} to {value:g}; needs {low:g} to {high:g}")
    return weights


def read(path: Path, lexicon: Path | None, labels: Labels, weights: Weights | None = None) -> LanguageModel:
    """Read a language model with the code of the decode step, in a Python process of its own.

    Args:
        path: an ARPA file, or KenLM's binary form of one.
        lexicon: one word a line, UTF-8; None: all words of the model.
        labels: of the acoustic model.
        weights: for requests that set none; None: those of the decode step.

    Raises:
        LanguageModelError: a file is missing or cannot be read, or the model does not fit these labels.
    """
    for option, file in (("--lm", path), ("--lexicon", lexicon)):
        if file is not None and not file.is_file():
            raise LanguageModelError(f"{option} {file} is not a file")
    with tempfile.TemporaryDirectory(prefix="asr-lm-") as folder:
        write_json(Path(folder) / "labels.json", asdict(labels))
        for name, source in _files(path, lexicon).items():
            (Path(folder) / name).symlink_to(source.resolve())
        command = [sys.executable, "-B", "-m", "asr_serving.ctc.language_model", folder]
        run = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if run.returncode != 0:
        # KenLM writes its progress to stderr; the reason is the last line.
        reason = (run.stderr.strip().splitlines() or [f"the process ended with {run.returncode}"])[-1]
        raise LanguageModelError(f"the language model {path} cannot be used: {reason}")
    return LanguageModel(path, lexicon, weights, **json.loads(run.stdout))


def _files(path: Path, lexicon: Path | None) -> dict[str, Path]:
    """Return the files by the names that the decode step gives them."""
    with path.open("rb") as file:
        is_binary = file.read(7) == b"mmap lm"
    return {"lm.bin" if is_binary else "lm.arpa": path} | ({"lexicon.txt": lexicon} if lexicon else {})
