"""Each decision has a page of one form, and a row in the index."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
HEADINGS = ["Decision", "Why", "Measured", "Seen"]


def title(page: Path) -> str:
    return page.read_text(encoding="utf-8").splitlines()[0].removeprefix(f"# {page.name[:4]} ")


def test_the_index_has_all_pages_in_order() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d{4})\]\((.+?)\) \| (.+?) \| .+ \|$", index, re.MULTILINE)
    assert rows == [(page.name[:4], page.name, title(page)) for page in PAGES]
    assert [int(number) for number, *_ in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_form(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:1] == ["Decision"]
    assert headings == [heading for heading in HEADINGS if heading in headings]
