"""Words written with the labels of a model."""

from asr_contract.errors import ParameterError
from asr_contract.labels import Labels


class UnknownCharacters(ParameterError):
    """A word cannot be written with the labels of the model; the message names the characters."""


class Speller:
    """Writes words as the checkpoint's tokenizer does; with pieces of words as labels, it uses the fewest labels."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        unspoken = (labels.blank, labels.delimiter)
        self._columns = {
            label: column for column, label in enumerate(labels.labels) if label and column not in unspoken
        }
        self._longest = max(map(len, self._columns))

    def spell(self, text: str) -> list[int]:
        """Return the columns of one or more words, in the labels' letter case.

        Raises:
            UnknownCharacters: no label has some of the characters.
        """
        columns = self.columns(text)
        if columns is not None:
            return columns
        known = set("".join(self._columns))
        known |= {character.upper() for character in known} | {character.lower() for character in known}
        strange = sorted({character for character in text if character not in known and not character.isspace()})
        raise UnknownCharacters(
            f"hotword {text!r} has {', '.join(map(repr, strange)) or 'parts'} that this model has no labels for; "
            f"its labels write {self.alphabet()}"
        )

    def columns(self, text: str) -> list[int] | None:
        """Return the columns of one or more words; None if the labels cannot write them."""
        words = text.split()
        for write in (str, str.upper, str.lower):
            spelled = [self._spell(write(word)) for word in words]
            if all(word is not None for word in spelled):
                return self._joined([word for word in spelled if word is not None])
        return None

    def alphabet(self) -> str:
        """Return the characters that the labels can write, for messages."""
        single = sorted(label for label in self._columns if len(label) == 1 and label.isprintable())
        return "".join(single[:100]) + ("…" if len(single) > 100 else "")

    def _spell(self, word: str) -> list[int] | None:
        """Return the fewest labels that make up the word; None if no labels do."""
        marked = (self._labels.word_start or "") + word
        best: list[list[int] | None] = [[]] + [None] * len(marked)
        for end in range(1, len(marked) + 1):
            for start in range(max(0, end - self._longest), end):
                before, column = best[start], self._columns.get(marked[start:end])
                if before is not None and column is not None:
                    shorter = best[end]
                    if shorter is None or len(before) + 1 < len(shorter):
                        best[end] = [*before, column]
        return best[-1]

    def _joined(self, words: list[list[int]]) -> list[int]:
        columns: list[int] = []
        for word in words:
            if columns and self._labels.delimiter is not None:
                columns.append(self._labels.delimiter)
            columns += word
        return columns
