"""An n-gram language model for the decode step: looked at by the very code that will serve it, then copied."""

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

_MOST = {"lm_weight": (0.0, 10.0), "word_score": (-100.0, 100.0)}  # as in a request
_WEIGHTS_FILE = "lm.json"


@dataclass(frozen=True)
class Weights:
    """What a text's score is made of, where a request says nothing."""

    lm_weight: float  # of the logarithm of the model's probability
    word_score: float  # nats for each word


@dataclass(frozen=True)
class LanguageModel:
    """The files of a language model, and what the decode step makes of them."""

    path: Path  # an ARPA file, or KenLM's binary form of one
    lexicon: Path | None  # the words that may come out; None: all that the model has
    weights: Weights | None  # None: the decode step's own
    kind: str  # "words" or "labels": what the model was trained on
    words: int  # that can come out; 0 for a model of labels
    left_out: int  # words that the labels cannot write
    examples: list[str]  # of these

    def copy_to(self, decode_step: Path) -> None:
        """Put the files where the decode step looks for them."""
        for name, source in _files(self.path, self.lexicon).items():
            shutil.copyfile(source, decode_step / name)
        if self.weights:
            write_json(decode_step / _WEIGHTS_FILE, asdict(self.weights))

    def facts(self) -> dict[str, object]:
        """For `export.json`."""
        return {**asdict(self), "path": str(self.path), "lexicon": str(self.lexicon) if self.lexicon else None}


def check_weights(weights: Weights, source: str) -> Weights:
    """Return the weights, which must be such as a request may ask for.

    Raises:
        LanguageModelError: one is not; the message says that it comes from `source`.
    """
    for name, value in asdict(weights).items():
        low, high = _MOST[name]
        if not low <= value <= high:
            raise LanguageModelError(f"{source} makes {name} {value:g}; needs {low:g} to {high:g}")
    return weights


def read(path: Path, lexicon: Path | None, labels: Labels, weights: Weights | None = None) -> LanguageModel:
    """Look at a language model with the code of the decode step, in a Python of its own.

    Args:
        path: an ARPA file, or KenLM's binary form of one.
        lexicon: a word a line, UTF-8; None for all words of the model.
        labels: of the acoustic model.
        weights: where a request says nothing; None for those of the decode step.

    Raises:
        LanguageModelError: a file that is missing or cannot be read, or a model that does not go with these labels.
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
        # KenLM shows its progress on stderr; the reason is the last line.
        reason = (run.stderr.strip().splitlines() or [f"the process ended with {run.returncode}"])[-1]
        raise LanguageModelError(f"the language model {path} cannot be used: {reason}")
    return LanguageModel(path, lexicon, weights, **json.loads(run.stdout))


def _files(path: Path, lexicon: Path | None) -> dict[str, Path]:
    """What the decode step calls them."""
    with path.open("rb") as file:
        is_binary = file.read(7) == b"mmap lm"
    return {"lm.bin" if is_binary else "lm.arpa": path} | ({"lexicon.txt": lexicon} if lexicon else {})
