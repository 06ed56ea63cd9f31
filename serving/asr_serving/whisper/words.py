"""Division of text tokens into words, by the rules of openai-whisper's `tokenizer.py` and `timing.py`."""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Languages that are written without spaces. To find their words would take a dictionary; each character is a word.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
BEFORE_A_WORD = "\"'“¿¡([{-"  # ¡ is from transformers
AFTER_A_WORD = "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001
_UNFINISHED = "\ufffd"  # how bytes look that are not a character, or not yet
_BYTES = 4  # at most, in a character of UTF-8; a token is at least one


@dataclass(frozen=True)
class Word:
    """A word, or a punctuation mark, of a list of tokens."""

    text: str  # with the space before it
    first: int  # index of its first token
    end: int  # the index after its last token


def divide(tokens: Sequence[int], decode: Callable[[list[int]], str], language: str | None) -> list[Word]:
    """Divide text tokens into words and punctuation marks; each token is in one of them.

    Args:
        tokens: of text.
        decode: returns the text of tokens; U+FFFD stands for incomplete characters.
        language: code of the text's language, which for a translation is "en"; None for a checkpoint of one language.
    """
    pieces = _characters(list(tokens), decode)
    if language in UNSPACED:
        return pieces
    words: list[Word] = []
    for piece in pieces:
        # As in the reference, this looks for a part of a text: "./" is punctuation, "…" and "..." are not.
        if not words or piece.text.startswith(" ") or piece.text.strip() in string.punctuation:
            words.append(piece)
        else:
            words[-1] = Word(words[-1].text + piece.text, words[-1].first, piece.end)
    return words


def _characters(tokens: list[int], decode: Callable[[list[int]], str]) -> list[Word]:
    """Divide tokens wherever a character ends.

    A character may take several tokens. If a text ends with U+FFFD, the next tokens show whether its bytes only wait
    for more: then both parts together read differently. The reference compares with the same place in the whole text.
    It loses the place after bytes that no token completes, and with it the rest of the words.
    """
    pieces = []
    first = 0
    for end in range(1, len(tokens) + 1):
        text = decode(tokens[first:end])
        if text.endswith(_UNFINISHED) and end < len(tokens):
            following = tokens[end : end + _BYTES - 1]
            if decode(tokens[first:end] + following) != text + decode(following):
                continue
        pieces.append(Word(text, first, end))
        first = end
    return pieces


def attach_punctuation(texts: Sequence[str]) -> list[str]:
    """Return the texts of words with the punctuation around them; what is attached to another leaves an empty text.

    An opening mark with a space before it goes to the next word, a closing mark without a space to the word before.
    """
    attached = list(texts)
    following = len(attached) - 1
    for index in range(len(attached) - 2, -1, -1):
        if attached[index].startswith(" ") and attached[index].strip() in BEFORE_A_WORD:
            attached[following] = attached[index] + attached[following]
            attached[index] = ""
        else:
            following = index
    previous = 0
    for index in range(1, len(attached)):
        if not attached[previous].endswith(" ") and attached[index] in AFTER_A_WORD:
            attached[previous] += attached[index]
            attached[index] = ""
        else:
            previous = index
    return attached
