"""The n-gram language model that `triton-asr export --lm` put beside the decode step, ready for beam search.

KenLM (Heafield 2011) reads it; flashlight-text's wheel contains KenLM's code. A model scores either words or the labels
of the acoustic model, depending on its training text. As a program, this file reports the content of a folder:

    python -m asr_serving.ctc.language_model FOLDER
"""

import json
import mmap
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_contract.labels import Labels

from asr_serving.ctc.spelling import Speller

FILES = ("lm.arpa", "lm.bin")
LEXICON = "lexicon.txt"
WEIGHTS = "lm.json"
# The defaults if neither the request nor the file of weights has a value; docs/decoding.md says more.
LM_WEIGHT = 0.5
WORD_SCORE = 0.0  # nats
_SPECIAL = {"<s>", "</s>", "<unk>", "<UNK>", ""}


class LanguageModelError(ValueError):
    """A language model or a lexicon cannot be used with these labels; the message says why."""


@dataclass(frozen=True)
class LanguageModel:
    """An n-gram model, and how the labels write its entries."""

    model: Any  # flashlight's KenLM; its index i is the i-th word, or the label of column i
    spellings: Sequence[tuple[int, list[int]]] | None  # (word, columns) of a model of words; None: a model of labels
    left_out: tuple[str, ...]  # words that the labels cannot write
    lm_weight: float = LM_WEIGHT  # the default of requests
    word_score: float = WORD_SCORE  # nats for each word; the default of requests

    @property
    def is_of_words(self) -> bool:
        """Return whether the model scores words; otherwise it scores labels."""
        return self.spellings is not None


def load(folder: Path, labels: Labels) -> LanguageModel | None:
    """Return the language model of a `ctc_decode` folder; None if there is none.

    Args:
        folder: holds `lm.arpa` or `lm.bin` and, optionally, `lexicon.txt` and `lm.json`.
        labels: of the acoustic model.

    Raises:
        LanguageModelError: the files cannot be read, or the labels can write none of the words.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    found = _read(path, folder / LEXICON, labels)
    lm_weight, word_score = _weights(folder / WEIGHTS)
    return replace(found, lm_weight=lm_weight, word_score=word_score)


def _weights(path: Path) -> tuple[float, float]:
    """Return `lm_weight` and `word_score` from the file beside the model, or the defaults."""
    if not path.is_file():
        return LM_WEIGHT, WORD_SCORE
    content = json.loads(path.read_text(encoding="utf-8"))
    needed = {"lm_weight", "word_score"}
    if content.keys() != needed or any(isinstance(v, bool) or not isinstance(v, int | float) for v in content.values()):
        raise LanguageModelError(f"{path.name} holds {content}; needs the numbers {' and '.join(sorted(needed))}")
    return float(content["lm_weight"]), float(content["word_score"])


def _read(path: Path, lexicon: Path, labels: Labels) -> LanguageModel:
    if lexicon.is_file():
        return _of_words(path, _entries(lexicon), labels, lexicon.name)
    words = list(_vocabulary(path))
    if not words:
        raise LanguageModelError(f"{path.name} knows no words")
    if columns := _columns_of(words, labels):
        return LanguageModel(_open(path, columns), None, ())
    return _of_words(path, [(word, None) for word in words], labels, path.name)


def _of_words(
    path: Path, entries: Sequence[tuple[str, list[str] | None]], labels: Labels, source: str
) -> LanguageModel:
    if labels.delimiter is None:
        raise LanguageModelError(
            f"{source} holds words, but this model's labels have no delimiter between words; needs a language model of "
            f"these labels: train it on text that is written with them, as in {_sample(labels)!r}"
        )
    speller = Speller(labels)
    columns = {label: column for column, label in enumerate(labels.labels)}
    spellings, left_out = [], []
    for index, (word, spelling) in enumerate(entries):
        if spelling is None:
            spelled = speller.columns(word)
        else:
            spelled = [columns[label] for label in spelling] if set(spelling) <= columns.keys() else None
            if spelled and spelled[-1] == labels.delimiter:  # wav2letter's lexicons end in it; the search adds it
                spelled.pop()
        if spelled:
            spellings.append((index, spelled))
        else:
            left_out.append(word)
    if not spellings:
        raise LanguageModelError(
            f"none of the {len(entries)} words of {source} can be written with the model's labels, such as "
            f"{left_out[0]!r}; needs words of {speller.alphabet()}"
        )
    return LanguageModel(_open(path, [word for word, _ in entries]), spellings, tuple(left_out))


def _sample(labels: Labels) -> str:
    speakable = [label for column, label in enumerate(labels.labels) if column != labels.blank]
    return " ".join(speakable[len(speakable) // 2 :][:5])


def _open(path: Path, entries: Sequence[str]) -> Any:
    from flashlight.lib.text.decoder.kenlm import KenLM  # not needed without a language model
    from flashlight.lib.text.dictionary import Dictionary

    try:
        return KenLM(str(path), Dictionary(list(entries)))
    except (RuntimeError, ValueError) as error:
        raise LanguageModelError(f"KenLM cannot read {path.name}: {' '.join(str(error).split())}") from error


def _columns_of(words: Sequence[str], labels: Labels) -> list[str] | None:
    """Return how a model of labels writes each column; None if it is a model of words."""
    known, speakable = set(words), {label for column, label in enumerate(labels.labels) if column != labels.blank}
    written = {form: label for label in speakable for form in (label.lower(), label.upper(), label)}
    if not known <= written.keys():
        return None
    # A label that the model lacks keeps a name that the model does not know, and gets the score of unknown words.
    return [
        next((form for form in (label, label.lower(), label.upper()) if form in known), f"<column {column}>")
        for column, label in enumerate(labels.labels)
    ]


def _entries(lexicon: Path) -> list[tuple[str, list[str] | None]]:
    """Return the words, with their labels if the line gives them: `word` or `word<TAB>l a b e l s`."""
    try:
        lines = lexicon.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise LanguageModelError(f"{lexicon.name} is not UTF-8: {error}") from error
    entries: dict[str, list[str] | None] = {}
    for line in lines:
        word, tab, spelling = line.partition("\t")
        if (word := word.strip()) not in _SPECIAL:
            entries[word] = spelling.split() if tab else None
    return list(entries.items())


def _vocabulary(path: Path) -> Iterator[str]:
    """Yield the words of an ARPA file, or of KenLM's binary form of one."""
    if not path.stat().st_size:
        raise LanguageModelError(f"{path.name} is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        words = _of_binary(content) if content[:7] == b"mmap lm" else _of_arpa(content)
        try:
            yield from (text for word in words if (text := word.decode("utf-8")) not in _SPECIAL)
        except UnicodeDecodeError as error:
            raise LanguageModelError(f"the words of {path.name} are not UTF-8: {error}") from error


def _of_binary(content: mmap.mmap) -> Iterator[bytes]:
    # KenLM writes the words at the end of the file, each ended by a zero byte, the unknown word first.
    begin = content.rfind(b"<unk>\0")
    if begin < 0:
        raise LanguageModelError(
            f"this binary model was built without its words; needs {LEXICON} beside it (--lexicon)"
        )
    yield from content[begin:].split(b"\0")


def _of_arpa(content: mmap.mmap) -> Iterator[bytes]:
    begin = content.find(b"\\1-grams:")
    if begin < 0:
        raise LanguageModelError(
            "this is neither an ARPA file (it has no section \\1-grams:) nor a binary model of KenLM"
        )
    content.seek(begin)
    content.readline()
    while (line := content.readline().strip()) and not line.startswith(b"\\"):
        yield line.split()[1]


def main(folder: Path) -> int:
    """Print the folder's content as JSON; return 1 and print the reason on stderr if it cannot be used."""
    try:
        found = load(folder, Labels.load(folder / "labels.json"))
    except (LanguageModelError, ImportError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    kind = None if found is None else "words" if found.is_of_words else "labels"
    words = len(found.spellings) if found and found.spellings else 0
    left_out = found.left_out if found else ()
    print(json.dumps({"kind": kind, "words": words, "left_out": len(left_out), "examples": left_out[:5]}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
