"""The schedule of one open-loop user."""

import itertools
import random

import pytest
from asr_loadtest.locust.open_loop import due_times
from asr_loadtest.results import Arrivals


def until(end_s: float, arrivals: Arrivals, rate: float, seed: str) -> list[float]:
    return list(itertools.takewhile(lambda due_s: due_s < end_s, due_times(arrivals, rate, random.Random(seed))))


def test_constant_arrivals_are_evenly_spaced() -> None:
    times = until(10, "constant", 4, "seed")

    assert len(times) == 40
    assert [after - before for before, after in itertools.pairwise(times)] == pytest.approx([0.25] * 39)


def test_poisson_gaps_vary_as_much_as_they_are_long() -> None:
    times = until(1000, "poisson", 5, "seed")
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5

    assert mean == pytest.approx(0.2, rel=0.1)
    assert deviation == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_users_add_up_to_the_sum_of_their_rates(arrivals: Arrivals) -> None:
    users = [until(1000, arrivals, 0.5, f"user {number}") for number in range(10)]

    assert sum(map(len, users)) == pytest.approx(5000, rel=0.05)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_a_seed_makes_the_same_arrivals_again_and_another_one_others(arrivals: Arrivals) -> None:
    assert until(10, arrivals, 3, "one") == until(10, arrivals, 3, "one") != until(10, arrivals, 3, "two")
