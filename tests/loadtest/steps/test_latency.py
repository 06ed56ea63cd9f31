import math

import pytest
from asr_loadtest.steps import latency
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_quantiles_are_latencies_that_the_share_does_not_exceed(values):
    found = latency.summary(values)
    assert found.count == len(values)
    assert found.p50_ms in values
    assert sum(value <= found.p50_ms for value in values) >= math.ceil(0.5 * len(values))
    assert found.max_ms == max(values)
    if found.p95_ms is not None:
        assert sum(value <= found.p95_ms for value in values) >= 0.95 * len(values)
        assert sum(value < found.p95_ms for value in values) < 0.95 * len(values)


@pytest.mark.parametrize(("number", "has_p95", "has_p99"), [(19, False, False), (20, True, False), (1000, True, True)])
def test_too_few_samples_have_no_quantile(number, has_p95, has_p99):
    found = latency.summary([1.0] * number)
    assert (found.p95_ms is not None, found.p99_ms is not None) == (has_p95, has_p99)


def test_no_samples_have_no_figures():
    assert latency.summary([]).mean_ms is None
