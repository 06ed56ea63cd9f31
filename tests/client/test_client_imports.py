"""Modules of the client form no circle, not even for type checkers or within functions."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import asr_client

ROOT = Path(asr_client.__file__).parent


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The modules of the client that this one names, wherever in it; the package itself only re-exports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= inner or {str(node.module)}
    return found & MODULES.keys() - {name_of(path)}


def test_there_is_no_circle() -> None:
    graph = {name: imported(path) - {"asr_client"} for name, path in MODULES.items() if name != "asr_client"}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names it
    assert order.index("asr_client._transports.base") < order.index("asr_client._transports.grpc")


def test_commands_are_no_part_of_the_library() -> None:
    for name, path in MODULES.items():
        if not name.startswith("asr_client.commands"):
            assert not [used for used in imported(path) if used.startswith("asr_client.commands")], name
