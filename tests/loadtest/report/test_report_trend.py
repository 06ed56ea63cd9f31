"""Trends of values that grow, and of values that do not."""

import numpy as np
import pytest
from asr_loadtest.report import trend

TIMES = [float(at_s) for at_s in range(0, 1200, 2)]
NOISE = np.random.default_rng(0).normal(0, 3e6, len(TIMES))


def test_a_line_is_found_in_noise() -> None:
    fitted = trend.fit(TIMES, [4e8 + 1e5 * at_s + noise for at_s, noise in zip(TIMES, NOISE, strict=True)])
    assert fitted is not None
    assert fitted.drift == pytest.approx(1e5 * TIMES[-1], rel=0.05)
    assert fitted.scatter == pytest.approx(3e6, rel=0.1)
    assert not fitted.is_noise


def test_noise_alone_is_noise() -> None:
    fitted = trend.fit(TIMES, [4e8 + noise for noise in NOISE])
    assert fitted is not None
    assert fitted.is_noise
    assert fitted.words(lambda value: f"{value:.0f}").endswith("within the noise")


def test_a_constant_is_said_to_be_one() -> None:
    fitted = trend.fit(TIMES, [87] * len(TIMES))
    assert fitted is not None
    assert fitted.words(lambda value: f"{value:g}") == "87 throughout"


def test_a_single_step_upwards_at_the_start_is_not_hidden_by_its_own_scatter() -> None:
    fitted = trend.fit(TIMES, [0.0] * 100 + [1.0] * 500)
    assert fitted is not None
    assert fitted.drift > 0


def test_few_points_have_no_trend() -> None:
    assert trend.fit([0.0, 1.0], [1.0, 2.0]) is None
    assert trend.fit([5.0] * 9, list(range(9))) is None
