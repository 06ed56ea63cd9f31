"""The table of docs/compatibility.md does not rot: every row has a source, and a test that exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split(" | ")]
    for line in (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| [")
]
SOURCE = re.compile(r"\[[^\]]+\]\(https://[^\s)]+\)")
TEST = re.compile(r"`(?P<file>test_\w+\.py)::(?P<name>test_\w+)(?:\[(?P<case>.+)\])?`")


def test_every_row_has_a_source_a_case_an_outcome_and_a_test() -> None:
    assert len(ROWS) >= 30
    for row in ROWS:
        assert len(row) == 4, row
        source, case, outcome, test = row
        assert SOURCE.fullmatch(source), source
        assert case, row
        assert outcome, row
        assert TEST.fullmatch(test), test


def test_every_test_is_there() -> None:
    for *_, cell in ROWS:
        named = TEST.fullmatch(cell)
        assert named is not None, cell
        (path,) = (ROOT / "tests").rglob(named["file"])
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert named["name"] in functions, cell
        if named["case"]:
            # Cases are texts in the file; they name themselves.
            texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
            assert named["case"] in texts, cell


def test_no_case_of_a_source_is_told_twice() -> None:
    told = [(source, case) for source, case, *_ in ROWS]
    assert len(set(told)) == len(told)
