"""docs/real-models.md has the figures of the last full run."""

import json

import pytest

from benchmarks.real_page import PAGE, RESULTS, page


def test_the_page_has_the_figures_of_the_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert page(text, found) == text
    assert found["missing"] == []
    assert sum(row["different"] for row in found["comparisons"]) == 0
    found["comparisons"][0]["different"] = 7
    assert page(text, found) != text


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="has no <!-- packages --> … <!-- end -->; needs one"):
        page("# Real models\n", json.loads(RESULTS.read_text(encoding="utf-8")))
