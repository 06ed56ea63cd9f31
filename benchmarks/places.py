"""Pages of docs/ with places for tables: `<!-- NAME -->` … `<!-- end -->`. The text around them is edited by hand."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

NOT_YET = "Not measured yet.\n"  # what a place holds before the first run

Cells = Sequence[str]


def read_results(file: Path) -> dict[str, Any]:
    """Return the parts that were measured, by name; none if there is no file."""
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def fill(text: str, parts: Iterable[tuple[str, str]], page: str) -> str:
    """Return a page's text with each part, (name, content), in its place.

    Args:
        text: of the page.
        parts: what the places hold from now on.
        page: its name, for the error.

    Raises:
        ValueError: the page has no such place.
    """
    for name, content in parts:
        place = re.search(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", text, re.DOTALL)
        if place is None:
            raise ValueError(f"{page} has no <!-- {name} --> … <!-- end -->; needs one")
        text = f"{text[: place.start()]}\n{content}\n{text[place.end() :]}"
    return text


def table(columns: Cells, rows: Iterable[Cells]) -> str:
    """Return a table in Markdown."""
    lines: list[Cells] = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
