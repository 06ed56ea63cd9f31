import asyncio
import random
from dataclasses import replace

import pytest
from asr_loadtest.capacity import CapacitySearch, Plan
from asr_loadtest.errors import VoidStep
from asr_loadtest.requests.arrivals import arrivals
from asr_loadtest.results import Capacity
from hypothesis import given
from hypothesis import strategies as st
from loadtest_steps import step

PLAN = Plan(start_rate=4.0, max_rate=1000.0)


def search(hold, plan: Plan = PLAN) -> tuple[Capacity, CapacitySearch]:
    async def holding(rate, seconds, seed):
        held = hold(rate, seconds, seed)
        return replace(held, load=replace(held.load, rate=rate, seed=seed, measured_s=seconds))

    found = CapacitySearch(holding, plan)
    return asyncio.run(found.run()), found


def sharp(limit: float):
    """A server that keeps its promises up to a rate."""
    return lambda rate, seconds, seed: step(rate, missed=() if rate <= limit else ("p95",))


@given(st.floats(0.6, 900), st.floats(0.02, 0.3), st.floats(0, 0.5))
def test_the_rate_found_is_within_tolerance_and_reserve_of_the_true_one(limit, tolerance, reserve):
    capacity, _ = search(sharp(limit), replace(PLAN, tolerance=tolerance, reserve=reserve))
    assert capacity.rate * (1 + reserve) <= limit * 1.001 < capacity.failed_rate * 1.002
    assert capacity.failed_rate <= capacity.rate * (1 + tolerance) * (1 + reserve) * 1.001
    assert capacity.failed_rate == pytest.approx(capacity.rate * (1 + capacity.tolerance))


def test_what_is_reported_was_held_for_longer_with_another_pattern():
    capacity, found = search(sharp(10))
    last = found.steps[-1].load
    assert last.rate == capacity.rate
    assert last.measured_s == 3 * PLAN.seconds(capacity.rate)
    assert last.seed not in {held.load.seed for held in found.steps[:-1] if held.ok}


def test_a_rate_that_fails_when_held_for_longer_gives_way_to_the_next_lower_one():
    def tires(rate, seconds, seed):
        limit = 10 if seconds <= PLAN.seconds(rate) else 6
        return step(rate, missed=() if rate <= limit else ("p95",))

    capacity, _ = search(tires)
    assert 6 / 1.06 < capacity.rate <= 6
    assert capacity.rate < capacity.failed_rate <= capacity.rate * 1.051


def test_one_disturbed_step_does_not_mislead():
    disturbed = iter([False, True])  # the second step, and then none

    def hold(rate, seconds, seed):
        return step(rate, missed=("p95",)) if next(disturbed, False) else sharp(100)(rate, seconds, seed)

    capacity, _ = search(hold)
    assert 95 < capacity.rate * (1 + PLAN.reserve) <= 100


def test_clear_overload_is_not_looked_at_twice():
    def hold(rate, seconds, seed):
        held = sharp(10)(rate, seconds, seed)
        slow = tuple(replace(window, answered_rate=10.0) for window in held.windows)
        return replace(held, windows=slow if held.missed else held.windows)

    _, found = search(hold)
    rates = [held.load.rate for held in found.steps if held.missed and held.load.rate > 1.2 * 10]
    assert len(rates) == len(set(rates)) > 0


def test_the_highest_rate_allowed_may_be_the_answer():
    capacity, _ = search(sharp(1e9), replace(PLAN, max_rate=30))
    assert (capacity.rate, capacity.failed_rate) == (30, None)


def test_where_no_rate_keeps_the_promise_there_is_no_capacity():
    capacity, found = search(sharp(0.0))
    assert capacity.rate is None
    assert capacity.failed_rate == min(held.load.rate for held in found.steps)


def test_a_void_step_is_repeated_and_no_result():
    answers = iter([("late",), ()])

    def hold(rate, seconds, seed):
        return replace(sharp(10)(rate, seconds, seed), void=next(answers, ()))

    capacity, found = search(hold)
    assert capacity.rate * (1 + PLAN.reserve) == pytest.approx(10, rel=0.05)
    assert found.steps[0].void


def test_a_step_that_stays_void_ends_the_search():
    with pytest.raises(VoidStep, match="at 4 requests/s, where the step was void 3 times: too late"):
        search(lambda rate, seconds, seed: step(rate, void=("too late",)))


def test_steps_are_long_enough_for_their_figures():
    plan = Plan(start_rate=1, max_rate=10, step_s=20, step_requests=200, max_step_s=120, needed_requests=1000)
    assert plan.seconds(100) == 20
    assert plan.seconds(2) == pytest.approx(1.1 * 1000 / 2)
    assert replace(plan, needed_requests=20).seconds(5) == 40
    assert replace(plan, needed_requests=20).seconds(0.5) == 120


def noisy_queue(noise_seed: int, is_steady: bool = False):
    """A server that takes 50 ms for one request after the other, is up to 5 % slower or faster in each step, and in
    one step of eight stands still for a second. Its promise: p95 within 500 ms."""
    chance = random.Random(noise_seed)

    def hold(rate, seconds, seed):
        service_s = 0.05 * (1.0 if is_steady else chance.uniform(0.95, 1.05))
        stall_at_s = chance.uniform(0, seconds) if chance.random() < 1 / 8 and not is_steady else None
        free_s, waits_s = 0.0, []
        for at_s in arrivals("poisson", rate, seconds, seed):
            begin_s = max(at_s, free_s)
            if stall_at_s is not None and begin_s >= stall_at_s:
                begin_s, stall_at_s = begin_s + 1.0, None
            free_s = begin_s + service_s
            waits_s.append(free_s - at_s)
        p95_s = sorted(waits_s)[int(0.95 * len(waits_s))]
        return step(rate, missed=() if p95_s <= 0.5 else ("p95",))

    return hold


def test_two_searches_on_a_noisy_machine_agree_within_15_percent():
    rates = [search(noisy_queue(seed), replace(PLAN, seed=seed % 2))[0].rate for seed in range(20)]
    assert max(rates) <= 1.15 * min(rates), sorted(rates)


def test_the_rate_found_lasts():
    """Five minutes at it keep the promise on a machine that does not stand still; half as much again breaks it."""
    rate = search(noisy_queue(1))[0].rate
    steady = noisy_queue(0, is_steady=True)
    assert steady(rate, 300, 77).ok
    assert not steady(1.5 * rate, 300, 77).ok


@given(st.integers(1, 200), st.integers(1, 64), st.floats(0, 0.5))
def test_live_streams_are_counted_in_whole_numbers_and_none_is_left_out(limit, first, reserve):
    plan = replace(PLAN, start_rate=float(first), reserve=reserve, whole=True)
    capacity, found = search(sharp(limit), plan)
    assert all(held.load.rate == int(held.load.rate) >= 1 for held in found.steps)
    if capacity.rate is None:
        assert first / 8 > limit / 2  # the search ends at an eighth of the first
        return
    assert capacity.rate == max(1, int(limit_found(found, limit, plan) / (1 + reserve)))


def limit_found(found, limit, plan):
    """The highest number that a short step kept, which is the limit or within the tolerance of it."""
    highest = max(held.load.rate for held in found.steps if held.ok)
    assert highest <= limit < max(highest + 1, (highest + 1) * (1 + plan.tolerance))
    return highest


def test_one_stream_is_less_than_no_reserve():
    capacity, _ = search(sharp(1), replace(PLAN, whole=True))
    assert (capacity.rate, capacity.failed_rate) == (1, 2)
