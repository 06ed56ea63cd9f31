"""The width of text in columns of terminals and subtitles: a Chinese character takes two columns, an accent none.

Lines break at spaces, and between characters of scripts without spaces. The most important rules of Unicode's line
breaking (UAX 14) apply: no line begins with a closing bracket, a full stop or a small kana, and no line ends with an
opening bracket. Hangul is as wide as Chinese, but has spaces.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

# White space without the no-break spaces, which are part of their word.
_BREAKING_SPACE = re.compile(r"[^\S\xa0\u2007\u202f]+")
_ZERO_WIDTH = frozenset(("Mn", "Me", "Cf"))
_JOINED_TO_THE_LEFT = _ZERO_WIDTH | {"Mc", "Sk"}  # Sk: the skin tones of emoji
_BEGINS_NO_LINE = frozenset(("Pe", "Pf", "Po", "Pd", "Lm"))  # Lm: the lengthening mark and repetition marks
_ENDS_NO_LINE = frozenset(("Ps", "Pi"))
_JOINER = "\N{ZERO WIDTH JOINER}"
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


def width(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(map(_width, text))


def wrap(text: str, columns: int) -> list[str]:
    """Return the text as lines of at most so many columns, each as full as it can be; longer words are cut."""
    return _fill(_atoms(text), columns)


def balanced(text: str, columns: int) -> list[str]:
    """Return as few lines as `wrap` does, but of similar length: they are easier to read. No further words are cut."""
    atoms = _atoms(text)
    lines = _fill(atoms, columns)
    narrowest = max([1, width(text) // max(1, len(lines)), *(width(atom) for atom, _ in atoms)])
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
    if not (_is_ideographic(left) or _is_ideographic(right)):
        return False
    is_small_kana = _is_ideographic(right) and "LETTER SMALL" in unicodedata.name(right, "")
    return not (
        is_small_kana or unicodedata.category(right) in _BEGINS_NO_LINE or unicodedata.category(left) in _ENDS_NO_LINE
    )


def _clusters(text: str) -> Iterator[str]:
    """Yield the parts that are never cut: a character and all that belongs to it."""
    cluster = ""
    for character in text:
        joined = unicodedata.category(character) in _JOINED_TO_THE_LEFT and not character.isascii()
        if cluster and not joined and not cluster.endswith(_JOINER):
            yield cluster
            cluster = ""
        cluster += character
    if cluster:
        yield cluster


def _atoms(text: str) -> list[tuple[str, bool]]:
    """Return the parts between which a line may break, and whether a space is before each."""
    atoms: list[tuple[str, bool]] = []
    for word in filter(None, _BREAKING_SPACE.split(text)):
        atom, is_spaced = "", bool(atoms)
        for cluster in _clusters(word):
            if atom and _may_break(atom[-1], cluster[0]):
                atoms.append((atom, is_spaced))
                atom, is_spaced = "", False
            atom += cluster
        atoms.append((atom, is_spaced))
    return atoms


def _fill(atoms: list[tuple[str, bool]], columns: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for atom, is_spaced in atoms:
        longer = f"{line} {atom}" if is_spaced and line else line + atom
        if width(longer) <= columns:
            line = longer
            continue
        if line:
            lines.append(line)
        *full, line = _cut(atom, columns)
        lines += full
    return [*lines, line] if line else lines


def _cut(atom: str, columns: int) -> list[str]:
    """Return the atom in parts that fit into a line; a single cluster that does not fit is a part of its own."""
    parts = [""]
    for cluster in _clusters(atom):
        if parts[-1] and width(parts[-1] + cluster) > columns:
            parts.append("")
        parts[-1] += cluster
    return parts
