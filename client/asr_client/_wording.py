"""The words of a transcript in its text: which characters are theirs, and where sentences end."""

import re
import unicodedata
from collections.abc import Sequence

from asr_client import _columns

# In the form NFKC, which makes "!" of the wide one, and three full stops of an ellipsis.
_QUOTES_AND_BRACKETS = "\"')]»”」』\N{RIGHT SINGLE QUOTATION MARK}"
_SENTENCE_ENDS = tuple(".!?。؟।")
_CLAUSE_ENDS = tuple(",;:—、،")

# Characters that readers of subtitles may take for the end of a line, and spaces around them. A blank line would end
# the cue. No-break spaces are not among them.
_WHITE_SPACE = re.compile("[ \t\n\v\f\r\x1c-\x1f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]+")


def letters(text: str) -> str:
    """Return the text without white space."""
    return "".join(_pieces(text))


def one_line(text: str, words: Sequence[str]) -> str:
    """Return the text of a transcript in one line; its letters are those of the words, in their order.

    If the words are not those of the text, return the words, with spaces where their scripts have them.
    """
    line = " ".join(_pieces(text))
    return line if letters(line) == "".join(map(letters, words)) else joined(words)


def joined(parts: Sequence[str]) -> str:
    """Return words, or other parts of a text, in one line, with spaces between them where their scripts have them."""
    text = ""
    for part in (" ".join(_pieces(part)) for part in parts):
        text += part if _columns.are_written_together(text, part) else f" {part}"
    return text.strip(" ")


def ends_sentence(text: str) -> bool:
    """Return whether a sentence ends with the text."""
    return _without_quotes(text).endswith(_SENTENCE_ENDS)


def ends_clause(text: str) -> bool:
    """Return whether a part of a sentence ends with the text."""
    return _without_quotes(text).endswith(_CLAUSE_ENDS)


def _without_quotes(text: str) -> str:
    return unicodedata.normalize("NFKC", text).rstrip(_QUOTES_AND_BRACKETS)


def _pieces(text: str) -> list[str]:
    """Return the parts of the text between white space."""
    return [piece for piece in _WHITE_SPACE.split(text) if piece]
