"""Word and character error rates: the kit's one definition, for every command and benchmark.

jiwer counts the edits: it is the maintained library behind the field's published figures. It is part of an extra, so
this module imports it only when it counts.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

# Characters that keyboards and typesetting use for an apostrophe: quotation marks, modifier letters, accents.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u02bb\u00b4\u0060", "'"))


@dataclass(frozen=True)
class Score:
    """Errors of one transcript, or of many together."""

    word_errors: int  # substitutions, deletions and insertions
    words: int  # of the reference
    character_errors: int
    characters: int  # of the reference, spaces included

    @property
    def wer(self) -> float | None:
        """Return the errors per word of the reference, 0 to 1 or more; None if the reference has no words."""
        return self.word_errors / self.words if self.words else None

    @property
    def cer(self) -> float | None:
        """Return the errors per character of the reference; None if the reference is empty."""
        return self.character_errors / self.characters if self.characters else None


def normalize(text: str) -> str:
    """Return a text's words in the form in which they are compared: case-folded, separated by single spaces.

    Compatible forms of a character (NFKC), all kinds of apostrophe, and texts that differ only in invisible characters
    become equal. Punctuation and symbols become spaces, except apostrophes within words.
    """
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
    text = unicodedata.normalize("NFKC", text)  # again: case folding may split characters that belong together
    kept = "".join(
        " " if character != "'" and unicodedata.category(character)[0] in "PS" else character for character in text
    )
    return " ".join(word for word in (word.strip("'") for word in kept.split()) if word)


def score(reference: str, transcript: str) -> Score:
    """Return the errors of one transcript; both texts are compared as they are, except for white space."""
    reference, transcript = " ".join(reference.split()), " ".join(transcript.split())
    words, characters = len(reference.split()), len(reference)
    if not reference:  # every word is an insertion
        return Score(len(transcript.split()), words, len(transcript), characters)
    import jiwer

    by_word = jiwer.process_words(reference, transcript)
    by_character = jiwer.process_characters(reference, transcript)
    return Score(
        by_word.substitutions + by_word.deletions + by_word.insertions,
        words,
        by_character.substitutions + by_character.deletions + by_character.insertions,
        characters,
    )


def total(scores: Iterable[Score]) -> Score:
    """Return all errors over all words; long recordings count for more, as is usual."""
    scores = list(scores)
    return Score(
        sum(item.word_errors for item in scores),
        sum(item.words for item in scores),
        sum(item.character_errors for item in scores),
        sum(item.characters for item in scores),
    )


def compare(pairs: Iterable[tuple[str, str]]) -> Score:
    """Return the total errors of (reference, transcript) pairs; it normalizes both texts."""
    return total(score(normalize(reference), normalize(transcript)) for reference, transcript in pairs)
