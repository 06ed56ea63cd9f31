"""No link of the documentation is dead, and whatever names a page of it names one that exists."""

import re
from pathlib import Path

from pages import dead_links, files, pages

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"(?<![\w./-])docs/[\w./-]+?\.md\b")
OF_ONNX_TENSORRT = "docs/operators.md"


def test_no_link_is_dead() -> None:
    assert len(pages(ROOT)) > 50
    assert dead_links(ROOT) == []


def test_files_and_anchors_that_are_missing_are_found(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "page.md").write_text("# `code` in: 24.10\n\n## Twice\n\n## Twice\n\n<a id='by-hand'></a>\n")
    (tmp_path / "README.md").write_text(
        "[a](more/page.md) [b](more/page.md#code-in-2410) [c](more/page.md#twice-1) [d](more/page.md#by-hand)\n"
        "[e](https://example.org/missing.md) [f](more) `[g](code.md)`\n\n    [h](code.md)\n\n"
        "[i](missing.md) [j](more/page.md#missing) [k](#missing) ![l](missing.png) <img src='missing.svg'>\n"
    )
    assert dead_links(tmp_path) == [
        "README.md: missing.md",
        "README.md: more/page.md#missing",
        "README.md: #missing",
        "README.md: missing.png",
        "README.md: missing.svg",
    ]


def test_code_and_pages_name_pages_that_exist() -> None:
    named = {
        (str(path.relative_to(ROOT)), name)
        for path in files(ROOT)
        if path.suffix in (".jinja", ".md", ".pbtxt", ".py", ".sh", ".toml", ".yaml", ".yml") or path.name == "Makefile"
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert sorted((path, name) for path, name in named if name != OF_ONNX_TENSORRT and not (ROOT / name).exists()) == []
