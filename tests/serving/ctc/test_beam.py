"""Beam search against the definition on small cases: the sum over all alignments of a text."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from asr_serving.ctc.beam import BeamOptions, BeamSearch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.serving.ctc.test_greedy import LABELS, path

SMALL = replace(LABELS, labels=["<pad>", "|", "A", "B"])


def by_definition(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Each sequence of labels, with the logarithm of the sum over its alignments."""
    frames, vocabulary = log_probs.shape
    totals: dict[tuple[int, ...], float] = {}
    for way in itertools.product(range(vocabulary), repeat=frames):
        spoken = tuple(column for column, _ in itertools.groupby(way) if column != SMALL.blank)
        totals[spoken] = np.logaddexp(totals.get(spoken, -np.inf), log_probs[range(frames), list(way)].sum())
    return totals


def spoken(alignment: np.ndarray) -> tuple[int, ...]:
    return tuple(column for column, _ in itertools.groupby(alignment.tolist()) if column != SMALL.blank)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(st.floats(0.05, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_the_best_text_is_that_of_the_definition(rows: list[list[float]]) -> None:
    probabilities = np.array(rows)
    log_probs = np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    totals = by_definition(log_probs)
    best = BeamSearch(SMALL).search(log_probs, BeamOptions(2000))[0]
    assert len(best.path) == len(rows)
    assert totals[spoken(best.path)] == pytest.approx(max(totals.values()), abs=1e-4)
    assert best.score == pytest.approx(max(totals.values()), abs=1e-4)


def test_a_text_of_many_alignments_beats_the_best_path() -> None:
    log_probs = np.log(np.array([[0.6, 0.0001, 0.3999, 0]] * 2, dtype=np.float32) + 1e-9)
    best, *others = BeamSearch(SMALL).search(log_probs, BeamOptions(16, nbest=5))
    assert spoken(best.path) == (2,)
    assert best.score == pytest.approx(np.log(0.3999 * 0.3999 + 2 * 0.6 * 0.3999), abs=1e-3)
    assert spoken(others[0].path) == ()


def test_alternatives_differ_and_come_best_first() -> None:
    alternatives = BeamSearch(LABELS).search(path("A-B-|-C", probability=0.5), BeamOptions(32, nbest=10))
    scores = [one.score for one in alternatives]
    assert scores == sorted(scores, reverse=True)
    assert len(alternatives) == 10
