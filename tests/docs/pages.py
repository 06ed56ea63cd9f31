"""The Markdown pages of a checkout, and where their links lead."""

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

NOT_OURS = frozenset(("build", "dist", "__pycache__"))
_MARKDOWN = MarkdownIt("commonmark").enable("table")
_HTML_LINK = re.compile(r"""(?:href|src)=["']([^"']+)""")
_HTML_ANCHOR = re.compile(r"""(?:id|name)=["']([^"']+)""")


def files(root: Path) -> Iterator[Path]:
    """Yield the files of a checkout, but not those in hidden folders or in folders that the targets make."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in NOT_OURS and not name.startswith(".")]
        yield from (Path(folder, name) for name in names)


def pages(root: Path) -> list[Path]:
    """Return the Markdown files of a checkout."""
    return sorted(path for path in files(root) if path.suffix == ".md")


def dead_links(root: Path) -> list[str]:
    """Return `PAGE: LINK` for each relative link whose file or anchor does not exist."""
    anchors = {page.resolve(): _anchors(page) for page in pages(root)}
    return [
        f"{page.relative_to(root)}: {link}"
        for page in pages(root)
        for link in _links(page)
        if not _leads_somewhere(page, link, anchors)
    ]


def _leads_somewhere(page: Path, link: str, anchors: dict[Path, set[str]]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True  # tests ask no other machine
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page.resolve()
    if parts.fragment and target in anchors:
        return unquote(parts.fragment) in anchors[target]
    return target.exists()


def _links(page: Path) -> Iterator[str]:
    for token in _tokens(page):
        if token.type in ("link_open", "image"):
            yield str(token.attrs["href" if token.type == "link_open" else "src"])
        elif token.type.startswith("html"):
            yield from _HTML_LINK.findall(token.content)


def _anchors(page: Path) -> set[str]:
    """Return what GitHub makes of the headings, and the ids in HTML."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for token, following in itertools.pairwise(_tokens(page)):
        if token.type == "heading_open":
            text = "".join(part.content for part in following.children or () if part.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
        elif token.type.startswith("html"):
            found.update(_HTML_ANCHOR.findall(token.content))
    return found


def _tokens(page: Path) -> Iterator[Token]:
    text = re.sub(r"\A---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)  # a model card's head
    for token in _MARKDOWN.parse(text):
        yield token
        yield from token.children or ()
