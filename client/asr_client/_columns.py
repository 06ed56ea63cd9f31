"""The width of text in columns of terminals and subtitles: a Chinese character takes two columns, an accent none.

Lines break at spaces, between Chinese or Japanese characters, and where words of Thai are known to end. The most
important rules of Unicode's line breaking (UAX 14) apply: no line begins with a closing bracket, a full stop or a small
kana, and no line ends with an opening bracket. Hangul is as wide as Chinese, but has spaces.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

# What is between breaking white space: no-break spaces are part of their word.
_WORD = re.compile(r"[\S\xa0\u2007\u202f]+")
_ZERO_WIDTH = frozenset(("Mn", "Me", "Cf"))
_JOINED_TO_THE_LEFT = _ZERO_WIDTH | {"Mc", "Sk"}  # Sk: the skin tones of emoji
_BEGINS_NO_LINE = frozenset(("Pe", "Pf", "Po", "Pd", "Lm"))  # Lm: the lengthening mark and repetition marks
_ENDS_NO_LINE = frozenset(("Ps", "Pi"))
_JOINER = "\N{ZERO WIDTH JOINER}"
_FLAG_LETTERS = frozenset(map(chr, range(0x1F1E6, 0x1F200)))  # two of them are a flag
# Beginnings of the Unicode names of characters that are written without spaces.
_SPACELESS = (
    "CJK ",
    "HIRAGANA ",
    "KATAKANA ",
    "BOPOMOFO ",
    "IDEOGRAPHIC ",
    "FULLWIDTH ",
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
)


@dataclass(frozen=True)
class Atom:
    """A part of a text within which no line breaks."""

    place: int  # of its first character in the text
    text: str
    width: int  # columns
    is_spaced: bool  # a space is before it, unless it begins a line


def width(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(map(_width, text))


def wrap(text: str, columns: int) -> list[str]:
    """Return the text as lines of at most so many columns, each as full as it can be; longer words are cut."""
    return _fill(atoms(text, columns), columns)


def atoms(text: str, columns: int, word_ends: Collection[int] = ()) -> list[Atom]:
    """Return the parts between which a line may break.

    Args:
        text: any text; breaking white space is between atoms, and in none.
        columns: of a line; what is longer is cut, but not within a character and what belongs to it.
        word_ends: places in the text at which a word is known to end. Scripts without spaces that are not as wide as
            Chinese, such as Thai, have a break there.
    """
    found: list[Atom] = []
    for word in _WORD.finditer(text):
        place, atom, is_spaced = word.start(), "", bool(found)
        for cluster in _clusters(word.group()):
            end = place + len(atom)
            if atom and (_may_break(atom[-1], cluster[0]) or (end in word_ends and _may_end(atom[-1], cluster[0]))):
                found += _cut(place, atom, is_spaced, columns)
                place, atom, is_spaced = end, "", False
            atom += cluster
        found += _cut(place, atom, is_spaced, columns)
    return found


def place(atom: Atom, line: int | None, columns: int) -> tuple[int, bool]:
    """Return how wide a line is with the atom in it, and whether the atom begins the line.

    Args:
        atom: the next one.
        line: width of the line so far, in columns; None if there is none.
        columns: that a line may have.
    """
    if line is None or (longer := line + atom.is_spaced + atom.width) > columns:
        return atom.width, True
    return longer, False


def balanced(atoms: Sequence[Atom], columns: int) -> list[str]:
    """Return as few lines as fit, but of similar length: they are easier to read."""
    lines = _fill(atoms, columns)
    total = sum(atom.width for atom in atoms)
    narrowest = max([1, total // max(1, len(lines)), *(atom.width for atom in atoms)])
    for narrower in range(narrowest, columns):
        if len(found := _fill(atoms, narrower)) <= len(lines):
            return found
    return lines


def end(text: str, columns: int) -> str:
    """Return as much of the end of a text as so many columns hold."""
    kept: list[str] = []
    for cluster in reversed(list(_clusters(text))):
        columns -= width(cluster)
        if columns < 0:
            break
        kept.append(cluster)
    return "".join(reversed(kept))


def pad(text: str, columns: int) -> str:
    """Return the text, padded with spaces to so many columns; a longer text does not change."""
    return text + " " * (columns - width(text))


def are_written_together(left: str, right: str) -> bool:
    """Return whether the scripts of two words put no space between them."""
    return all(unicodedata.name(side, "").startswith(_SPACELESS) for side in (left[-1:], right[:1]) if side)


@lru_cache(maxsize=4096)
def _width(character: str) -> int:
    if unicodedata.category(character) in _ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


@lru_cache(maxsize=4096)
def _is_ideographic(character: str) -> bool:
    """Return whether a line may break on either side of the character."""
    return _width(character) == 2 and "HANGUL" not in unicodedata.name(character, "")


def _may_break(left: str, right: str) -> bool:
    """Return whether a line may break between two characters."""
    return (_is_ideographic(left) or _is_ideographic(right)) and _is_allowed(left, right)


def _may_end(left: str, right: str) -> bool:
    """Return whether a line may break between two characters at which a word is known to end."""
    return are_written_together(left, right) and _is_allowed(left, right)


def _is_allowed(left: str, right: str) -> bool:
    is_small_kana = _is_ideographic(right) and "LETTER SMALL" in unicodedata.name(right, "")
    return not (
        is_small_kana or unicodedata.category(right) in _BEGINS_NO_LINE or unicodedata.category(left) in _ENDS_NO_LINE
    )


def _clusters(text: str) -> Iterator[str]:
    """Yield the parts that are never cut: a character and all that belongs to it, or the two letters of a flag."""
    cluster = ""
    for character in text:
        joined = unicodedata.category(character) in _JOINED_TO_THE_LEFT and not character.isascii()
        is_flag = len(cluster) == 1 and cluster in _FLAG_LETTERS and character in _FLAG_LETTERS
        if cluster and not joined and not is_flag and not cluster.endswith(_JOINER):
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def _fill(atoms: Iterable[Atom], columns: int) -> list[str]:
    lines: list[str] = []
    used: int | None = None
    for atom in atoms:
        used, is_new = place(atom, used, columns)
        if is_new:
            lines.append(atom.text)
        else:
            lines[-1] += f" {atom.text}" if atom.is_spaced else atom.text
    return lines


def _cut(place: int, text: str, is_spaced: bool, columns: int) -> Iterator[Atom]:
    """Yield a text in atoms that fit into a line; a single cluster that does not fit is an atom of its own."""
    part, used = "", 0
    for cluster in _clusters(text):
        more = width(cluster)
        if part and used + more > columns:
            yield Atom(place, part, used, is_spaced)
            place, part, used, is_spaced = place + len(part), "", 0, False
        part, used = part + cluster, used + more
    yield Atom(place, part, used, is_spaced)
