"""The demo's recordings; the server that hears them is in tests/conftest.py."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def samples() -> dict[Path, str]:
    """The demo's recordings and what is said in them."""
    rows = (ROOT / "demo" / "samples" / "manifest.tsv").read_text(encoding="utf-8").splitlines()[1:]
    pairs = [row.split("\t") for row in rows]
    return {ROOT / "demo" / "samples" / audio: text for audio, text in pairs}
