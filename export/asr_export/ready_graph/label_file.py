"""A text file of labels, as it comes with a ready graph -> the labels of the columns, the blank, and the word marks."""

import re
from collections import Counter
from pathlib import Path

from asr_contract.labels import WORD_START

from asr_export.errors import GraphError

# Names of the CTC blank in toolkits (WeNet, icefall, ESPnet, HuggingFace, SpeechBrain, torchaudio's bundles).
BLANK_NAMES = ("<blk>", "<blank>", "<b>", "<ctc_blank>", "<pad>", "[PAD]", "<eps>", "<epsilon>", "[blank]", "_", "-")
_SPACE_NAMES = ("|", " ", "<space>", "[space]")
_INDEXED = re.compile(r"(.+)[ \t](\d+)")


def read(path: Path) -> list[str]:
    """Read labels, one a line, UTF-8. The line's number is the column, unless every line is `label index`.

    Raises:
        GraphError: the file is not readable as text, has no label, an empty or repeated one, or indices with a gap.
    """
    if path.suffix == ".json":
        raise GraphError(f"--labels {path} is JSON; needs a text file with one label a line, in the order of columns")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise GraphError(f"cannot read --labels {path}: {reason}; needs UTF-8 text, one label a line") from error
    lines = text.split("\n")  # not splitlines, which also splits at characters that may be labels
    lines = [line.removesuffix("\r") for line in lines]
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise GraphError(f"--labels {path} is empty; needs one label a line")
    labels = _indexed(lines, path) or lines
    if "" in labels:
        raise GraphError(f"--labels {path}: line {labels.index('') + 1} is empty; needs one label a line")
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        first, second = [line + 1 for line, label in enumerate(labels) if label == repeated[0]][:2]
        raise GraphError(f"--labels {path}: columns {first - 1} and {second - 1} are both {repeated[0]!r}")
    return labels


def name_columns(labels: list[str], columns: int, blank: str | None) -> tuple[list[str], int]:
    """Return the label of every column, and the column of the blank.

    Args:
        labels: of the file.
        columns: number of columns of the graph's output; one more than labels if the blank is last and unnamed (NeMo).
        blank: the column or the label that the user chose; None: look for a usual name.

    Raises:
        GraphError: the numbers do not agree, or nothing shows which column is the blank.
    """
    count = len(labels)
    chosen = None if blank is None else _chosen_blank(labels, blank)
    needed = count + 1 if chosen == count else count
    if needed != columns:
        hint = f"; if the blank is the last column and not in the file, use --blank {count}" if columns > count else ""
        named = f"{count} labels" if needed == count else f"{count} labels and the blank of --blank {count}"
        raise GraphError(f"the graph's output has {columns} columns, the file {named}; needs as many{hint}")
    if chosen == count:
        return [*labels, "<blank>"], count
    if chosen is None:
        found = [column for column, label in enumerate(labels) if label in BLANK_NAMES]
        if len(found) != 1:
            what = " and ".join(labels[column] for column in found) or "none"
            raise GraphError(
                f"of the usual names of the CTC blank ({' '.join(BLANK_NAMES)}) the labels hold {what}: name the "
                f"blank with --blank, by its label or a column from 0 to {count}"
            )
        (chosen,) = found
    return labels, chosen


def word_boundaries(labels: list[str], delimiter: str | None) -> tuple[int | None, str | None]:
    """Return the column that separates words, or the mark that starts a label at the beginning of a word.

    Both are None if the labels do not form words.

    Args:
        labels: of the columns.
        delimiter: the label that the user chose; None: look for the usual ones.

    Raises:
        GraphError: there is no such label.
    """
    has_pieces = any(label.startswith(WORD_START) for label in labels)
    if delimiter is not None:
        if delimiter in labels and delimiter != WORD_START:
            return labels.index(delimiter), None
        if delimiter == WORD_START and has_pieces:
            return None, WORD_START
        raise GraphError(f"--delimiter is {delimiter!r}, which is none of the labels: {_some(labels)}")
    if has_pieces and "|" not in labels:
        return None, WORD_START
    return next((labels.index(name) for name in _SPACE_NAMES if name in labels), None), None


def _indexed(lines: list[str], path: Path) -> list[str] | None:
    """Return the labels of a file in which every line ends in an index; None for another kind of file."""
    matches = [_INDEXED.fullmatch(line) for line in lines]
    pairs = [(int(match[2]), match[1]) for match in matches if match]
    if len(pairs) < len(lines):
        return None
    columns = sorted(column for column, _ in pairs)
    if columns != list(range(len(lines))):
        wrong = next(expected for expected, column in enumerate([*columns, -1]) if column != expected)
        raise GraphError(
            f"--labels {path}: every line ends in an index, but column {wrong} is missing or there twice; "
            f"needs 0 to {len(lines) - 1}"
        )
    return [label for _, label in sorted(pairs)]


def _chosen_blank(labels: list[str], blank: str) -> int:
    if re.fullmatch(r"[0-9]+", blank):
        if int(blank) > len(labels):
            raise GraphError(f"--blank is {blank}; needs a column from 0 to {len(labels)} or one of the labels")
        return int(blank)
    if blank not in labels:
        raise GraphError(f"--blank is {blank!r}, which is none of the labels: {_some(labels)}; or give its column")
    return labels.index(blank)


def _some(labels: list[str]) -> str:
    return " ".join(labels[:20]) + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
