"""The figures of the benchmark of the gateway: what is counted, ratios within rounds, and the page."""

import json
from typing import Any

import pytest
from asr_loadtest.requests.generator import Exchange
from compare_gateway import missed_aims
from gateway_bench import caller, page, turns
from places import read_results


def exchange(done_s: float | None, error: str | None = None) -> Exchange:
    return Exchange(0, 0.0 if done_s is None else done_s - 0.02, 0.0, done_s, None if error else "A", error)


def test_what_came_in_the_measured_time_counts() -> None:
    begin = caller.RAMP_S
    exchanges = [exchange(at_s) for at_s in (begin - 0.1, begin, begin + 1.0, begin + 2.0)]
    found = caller.figures([*exchanges, exchange(begin + 0.5, "QueueFull")], seconds=2.0, cpu_s=0.01)
    assert (found["requests"], found["errors"], found["rate"]) == (5, 1, 1.0)
    assert found["p50_ms"] == pytest.approx(20)
    assert found["cpu_ms"] == pytest.approx(2)


def test_nothing_that_came_is_no_division_by_zero() -> None:
    assert caller.figures([], 1.0, 0.5)["rate"] == 0


def one(rate: float, **more: float) -> dict[str, Any]:
    return {"rate": rate, "p50_ms": 1.0, "cpu_ms": 1.0, "server_cpu_ms": 2.0, "errors": 0, **more}


def rounds(*pairs: tuple[float, float], gateway_cpu_ms: float = 2.0) -> dict[str, Any]:
    return turns.figures(
        [
            {turns.DIRECT: one(direct), turns.GATEWAY: one(through, gateway_cpu_ms=gateway_cpu_ms)}
            for direct, through in pairs
        ]
    )


def test_a_ratio_is_that_of_all_rounds() -> None:
    found = rounds((100, 90), (50, 50), (80, 40))
    assert found["ratio"] == {"whole": 0.7826, "error": 0.1475, "min": 0.5, "max": 1.0}
    assert found["rounds"] == 3
    assert found[turns.DIRECT]["rate"]["median"] == 80
    assert "gateway_cpu_ms" not in found[turns.DIRECT]


def test_aims_that_are_missed() -> None:
    good = rounds((100, 99))
    slow, dear = rounds((100, 90)), rounds((100, 99), gateway_cpu_ms=3.5)
    assert list(missed_aims({"1": slow, "16": good})) == []  # the aim is about the most callers
    assert [line.partition(":")[0] for line in missed_aims({"4": good, "16": slow})] == ["16 callers"]
    assert "3.50 ms" in next(missed_aims({"4": dear, "16": good}))
    assert "2 requests failed" in next(missed_aims({"16": {**good, "errors": 2}}))


def test_the_page_has_what_was_measured() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.page(text, read_results(page.RESULTS)) == text


def test_the_page_has_a_place_for_the_figures() -> None:
    machine = {"cpu": "AMD", "cores": 2, "python": "3.11", "versions": {"uvicorn": "1"}}
    results = {
        "machine": machine,
        "length_s": 5.0,
        "seconds": 2.0,
        "gateway_mb": 90,
        "callers": {"4": rounds((100, 97)), "16": rounds((50, 50))},
    }
    text = page.page(page.PAGE.read_text(encoding="utf-8"), json.loads(json.dumps(results)))
    assert "| 4 | 100.0 | 97.0 | **0.970** ± 0.000 | 1 |" in text
    assert "No request failed." in text
    with pytest.raises(ValueError, match="needs one"):
        page.page("a page without the place", results)
