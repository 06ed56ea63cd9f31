from dataclasses import replace

import pytest
from asr_loadtest.results import Slo
from asr_loadtest.steps import slo, validity
from loadtest_steps import PUNCTUAL, latency, window

P95 = Slo(p95_ms=100.0)


def test_a_punctual_generator_makes_a_valid_step():
    assert validity.void(PUNCTUAL, P95) == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"late": 5}, "5 of 400 requests were sent more than 10 ms late"),
        ({"cpu_cores": 0.95}, "0.95 processor cores"),
        ({"sent": 391}, "sent 391 of 400"),
        ({"scheduled": 19, "sent": 19}, "19 requests are too few for p95; needs 20"),
    ],
)
def test_what_makes_a_step_void(fields, reason):
    (found,) = validity.void(replace(PUNCTUAL, **fields), P95)
    assert reason in found


def test_at_the_limits_a_step_is_valid():
    assert validity.void(replace(PUNCTUAL, late=4, cpu_cores=0.9), P95) == ()


def test_p99_needs_a_thousand_requests():
    (reason,) = validity.void(PUNCTUAL, Slo(p99_ms=100))
    assert "p99; needs 1,000" in reason


def test_promises_that_are_kept():
    assert slo.missed(Slo(100, None, 0.01, 0.01), latency(50, 100), 0.01, 0.01) == ()


def test_promises_that_are_broken_are_named_with_both_figures():
    missed = slo.missed(Slo(100, None, 0.01, 0.02), latency(50, 101), 0.05, 0.03)
    assert missed == ("p95 101 ms > 100 ms", "error rate 5.00% > 1.00%", "changed transcripts 3.00% > 2.00%")


def test_a_quantile_that_too_few_successes_leave_unknown_is_a_broken_promise():
    (reason,) = slo.missed(P95, replace(latency(50, 50, count=7), p95_ms=None), 0.0, 0.0)
    assert reason == "p95 unknown: 7 requests succeeded; needs 20"


def rising(*p95_ms: float, p50_ms=(10, 20, 30)):
    return tuple(window(p50, p95) for p50, p95 in zip(p50_ms, p95_ms, strict=True))


def unstable(windows, under_way=(5, 5), mean=5.0, promise=P95):
    return slo.unstable(promise, windows, 400, under_way, mean)


def test_latency_that_rises_towards_its_limit_is_not_stable():
    (reason,) = unstable(rising(40, 60, 80))
    assert reason == "p95 rises from 40 to 80 ms; after as long again it is beyond 100 ms"


@pytest.mark.parametrize(
    "windows", [rising(40, 41, 42), rising(60, 40, 80), rising(80, 60, 40), rising(40, 60, 80, p50_ms=(20, 10, 30))]
)
def test_latency_that_stays_within_its_limit_is_stable(windows):
    assert unstable(windows) == ()


def test_a_growing_backlog_is_not_stable():
    (reason,) = unstable(rising(9, 9, 9), under_way=(5, 60), mean=30)
    assert reason == "answers do not keep up: the requests under way grew from 5 to 60"


def test_a_backlog_that_chance_explains_is_stable():
    assert unstable(rising(9, 9, 9), under_way=(5, 15), mean=10) == ()


def test_where_nothing_is_promised_nothing_is_unstable():
    assert unstable(rising(40, 60, 80), under_way=(0, 400), mean=200, promise=Slo()) == ()
