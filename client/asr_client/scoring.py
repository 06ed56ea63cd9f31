"""Transcripts against references: word and character error rates.

jiwer counts the edits: it is the maintained library that the field's published figures come from.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


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
    """Casefolded words parted by single spaces; punctuation and symbols go, but for apostrophes within words."""
    text = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()
    text = unicodedata.normalize("NFKC", text)  # once more: casefolding may part what belongs together
    kept = "".join(
        " " if character != "'" and unicodedata.category(character)[0] in "PS" else character for character in text
    )
    return " ".join(word for word in (word.strip("'") for word in kept.split()) if word)


def score(reference: str, transcript: str) -> Score:
    """Compare one transcript with its reference, both as they are but for white space."""
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
    """All errors over all words: long recordings count for more, as is usual."""
    scores = list(scores)
    return Score(
        sum(item.word_errors for item in scores),
        sum(item.words for item in scores),
        sum(item.character_errors for item in scores),
        sum(item.characters for item in scores),
    )
