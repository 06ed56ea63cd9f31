import numpy as np
import pytest
from asr_loadtest.requests.arrivals import arrivals
from hypothesis import given
from hypothesis import strategies as st

kinds = st.sampled_from(["poisson", "constant"])


@given(kinds, st.floats(0.1, 200), st.floats(0.5, 30), st.integers(0, 1000))
def test_arrivals_are_ascending_within_the_step_and_offer_the_rate(kind, rate, seconds, seed):
    times = arrivals(kind, rate, seconds, seed)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= seconds
    assert len(times) == max(1, round(rate * seconds))


def test_the_same_seed_gives_the_same_arrivals_and_another_one_others():
    assert arrivals("poisson", 5, 10, 1) == arrivals("poisson", 5, 10, 1)
    assert arrivals("poisson", 5, 10, 1) != arrivals("poisson", 5, 10, 2)


def test_poisson_gaps_scatter_like_their_mean():
    gaps = np.diff(arrivals("poisson", 100, 100, 0))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_poisson_arrivals_bunch_as_those_of_independent_callers_do():
    counts, _ = np.histogram(arrivals("poisson", 10, 1000, 0), bins=1000)
    assert counts.var() == pytest.approx(counts.mean(), rel=0.1)


def test_constant_gaps_are_equal():
    assert np.diff(arrivals("constant", 4, 10, 0)) == pytest.approx(0.25)


def test_no_time_has_no_arrivals():
    assert arrivals("poisson", 5, 0, 1) == []
