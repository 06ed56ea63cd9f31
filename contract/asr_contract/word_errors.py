"""Word and character error rates: the kit's one definition, for every command and benchmark.

jiwer counts the edits: it is the maintained library that the field's published figures come from. It is imported when
something is counted, because it is part of an extra.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

# What keyboards and typesetting put in the place of an apostrophe: quotation marks, the modifier letters, accents.
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
        """Errors per word of the reference, 0 to 1 or more; None when the reference has no words."""
        return self.word_errors / self.words if self.words else None

    @property
    def cer(self) -> float | None:
        """Errors per character of the reference; None when the reference is empty."""
        return self.character_errors / self.characters if self.characters else None


def normalize(text: str) -> str:
    """Return the words of a text as they are compared: folded in case and parted by single spaces.

    Equal are compatible forms of a character (NFKC), every kind of apostrophe, and texts that differ in invisible
    characters alone. Punctuation and symbols become spaces, but for apostrophes within words.
    """
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
    text = unicodedata.normalize("NFKC", text)  # once more: case folding may part what belongs together
    kept = "".join(
        " " if character != "'" and unicodedata.category(character)[0] in "PS" else character for character in text
    )
    return " ".join(word for word in (word.strip("'") for word in kept.split()) if word)


def score(reference: str, transcript: str) -> Score:
    """Return the errors of one transcript, compared as both texts are but for white space."""
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
    """Return all errors over all words: long recordings count for more, as is usual."""
    scores = list(scores)
    return Score(
        sum(item.word_errors for item in scores),
        sum(item.words for item in scores),
        sum(item.character_errors for item in scores),
        sum(item.characters for item in scores),
    )


def compare(pairs: Iterable[tuple[str, str]]) -> Score:
    """Return the errors of (reference, transcript) pairs together, both normalized."""
    return total(score(normalize(reference), normalize(transcript)) for reference, transcript in pairs)
