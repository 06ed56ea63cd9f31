"""From rounds to figures and tables."""

import pytest
from peers.figures import Round, summary
from peers.table import tables


def rounds(*rtfx: float, latencies_ms: tuple[float, ...] = (10.0,), members: bool = False) -> list[Round]:
    """Rounds of a peer that is twice as fast on recordings of equal length."""
    parts = {"queue": 1.0, "input": 0.0, "infer": 6.0, "output": 0.5}
    return [Round(one, 2 * one, latencies_ms, {"acoustic": parts} if members else {}) for one in rtfx]


def test_the_limit_is_the_faster_of_both_in_each_round() -> None:
    found = summary({"loop": rounds(10, 40), "workers": rounds(20, 30), "kit": rounds(10, 30)})

    assert found["ratios"]["mixed"]["kit / limit"] == {"median": 0.625, "min": 0.5, "max": 0.75}


def test_ratios_are_paired_in_a_round() -> None:
    found = summary({"pipeline": rounds(1, 10, 100), "kit": rounds(2, 20, 200)})

    assert found["ratios"]["mixed"] == {"kit / pipeline": {"median": 2, "min": 2, "max": 2}}


def test_a_quantile_of_few_requests_is_left_out() -> None:
    few, enough = rounds(1, latencies_ms=(5.0,) * 19), rounds(1, latencies_ms=(5.0,) * 20)

    assert summary({"kit": few})["peers"]["kit"]["latency"]["p95_ms"] is None
    assert summary({"kit": enough})["peers"]["kit"]["latency"]["p95_ms"] == 5


def test_the_parts_of_the_latency_add_up() -> None:
    parts = summary({"kit": rounds(1, members=True)})["peers"]["kit"]["breakdown_ms"]

    assert parts["acoustic compute"] + parts["rest of the server"] + parts["client, network, ensemble"] == 10
    assert parts["all but acoustic compute"] == 4


@pytest.mark.parametrize("names", [("kit",), ("loop", "workers", "pipeline", "kit")])
def test_tables_have_a_row_for_every_peer(names: tuple[str, ...]) -> None:
    found = summary({name: rounds(1.0, members=name == "kit") for name in names})

    assert tables({"demo": found}).count("\n| ") >= len(names)
