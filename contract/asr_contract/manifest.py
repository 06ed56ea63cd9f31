"""Evaluation manifests: lists of recordings with their reference texts.

A TSV file has a header that names the columns `audio` and `text`; other columns are ignored. A JSON Lines file has one
object with these keys on each line. Paths are relative to the manifest.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("audio", "text")


class ManifestError(ValueError):
    """A manifest cannot be read; the message names the line."""


@dataclass(frozen=True)
class Entry:
    """One recording and its reference."""

    audio: str  # as the manifest has it
    path: Path  # where it is
    text: str  # what is said; may be empty


def read(manifest: Path) -> list[Entry]:
    """Return the entries of a manifest, in order.

    The first character tells JSON Lines from TSV.

    Raises:
        ManifestError: the file cannot be read, a line is malformed, or there are no entries.
    """
    try:
        # Not splitlines(): it also breaks at characters that a reference may hold, such as U+2028 or a vertical tab.
        lines = [line.removesuffix("\r") for line in manifest.read_bytes().decode("utf-8-sig").split("\n")]
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot read manifest {manifest}: {error}") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise ManifestError(f"manifest {manifest} is empty; needs a header 'audio<TAB>text', or JSON lines")
    is_json = numbered[0][1].lstrip().startswith("{")
    parse = _parse_json if is_json else _tsv_parser(manifest, *numbered.pop(0))
    if not numbered:
        raise ManifestError(f"manifest {manifest} has a header but no recordings")
    entries = []
    for number, line in numbered:
        try:
            audio, text = parse(line)
        except ValueError as error:
            raise ManifestError(f"{manifest}, line {number}: {error}") from error
        entries.append(Entry(audio, manifest.parent / audio, text))
    return entries


def _parse_json(line: str) -> tuple[str, str]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise ValueError(f"is {type(entry).__name__}; needs an object with {' and '.join(COLUMNS)}")
    for column in COLUMNS:
        if not isinstance(entry.get(column), str):
            raise ValueError(f"{column} is {entry.get(column)!r}; needs a string")
    return _checked(entry["audio"], entry["text"])


def _tsv_parser(manifest: Path, number: int, header: str) -> Callable[[str], tuple[str, str]]:
    names = [name.strip() for name in header.split("\t")]
    if not set(COLUMNS) <= set(names):
        raise ManifestError(
            f"{manifest}, line {number}: header is {header!r}; needs columns audio and text, separated by a TAB"
        )
    audio, text = (names.index(column) for column in COLUMNS)

    def parse(line: str) -> tuple[str, str]:
        cells = line.split("\t")
        if len(cells) != len(names):
            raise ValueError(f"has {len(cells)} column(s), the header {len(names)}: {line!r}")
        return _checked(cells[audio], cells[text])

    return parse


def _checked(audio: str, text: str) -> tuple[str, str]:
    if not audio.strip():
        raise ValueError("audio is empty; needs a path")
    return audio.strip(), text.strip()
